"""The run that `benchmarks.soak` kills and restarts: the smallest with every part, so that a start takes seconds."""

from edtalk_jax.config import (
  CheckpointConfig,
  Config,
  DataConfig,
  LogConfig,
  ModelConfig,
  PerceptualConfig,
  RunConfig,
)


def get_config() -> Config:
  """16 pixels; a checkpoint every 10 steps, validation and samples among them."""
  return Config(
    run=RunConfig(steps=200),
    model=ModelConfig(image_size=16, style_dim=32, channel_base=256, channel_max=16, trunk_layers=2, head_layers=2),
    perceptual=PerceptualConfig(scales=(1.0,), width=0.125),
    data=DataConfig(batch_size=8, workers=1),
    log=LogConfig(every=1, samples_every=20, validate_batches=1),
    checkpoint=CheckpointConfig(every=10, keep=2),
  )
