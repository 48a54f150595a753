"""Stage `mouth_pose` at full size: 256 pixels, 20 mouth and 6 pose vectors. Start it with `--from` a reconstruction."""

from edtalk_jax.config import Config, DataConfig, RunConfig


def get_config() -> Config:
  """The official trainer runs batches of 4 pairs in each process; about 4000 iterations are reported.

  It reads HDTF alone; in records with labels of emotions, neutral clips are what is like it. For 1 to 8 devices that
  share nothing but gradients; on accelerators add `--set model.dtype=bfloat16`.
  """
  data = DataConfig(batch_size=8, workers=8, emotions='neutral')
  return Config(run=RunConfig(stage='mouth_pose', steps=8_000), data=data)
