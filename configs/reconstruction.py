"""Stage `reconstruction` at full size: 256 pixels, style width 512, LIA's sizes and optimiser."""

from edtalk_jax.config import Config, DataConfig, RunConfig


def get_config() -> Config:
  """LIA trained with a total batch of 32; the learning rate belongs to batches of that order.

  For 1 to 32 devices that share nothing but gradients. float32 is what the official code computes in; on accelerators
  add `--set model.dtype=bfloat16`.
  """
  return Config(run=RunConfig(stage='reconstruction', steps=200_000), data=DataConfig(batch_size=32, workers=8))
