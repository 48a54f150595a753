"""Stage `mouth_pose` at 1024 pixels: two more levels with 32 and 16 channels, four devices a picture."""

from edtalk_jax.config import Config, DataConfig, MeshConfig, ModelConfig, RunConfig


def get_config() -> Config:
  """For 32 chips: 8 groups of four devices with one pair of faces (six pictures) each.

  Nobody has trained this; it is here to be compiled and measured. Stage `reconstruction` comes first:
  `--set run.stage=reconstruction run.steps=200000`.
  """
  return Config(
    run=RunConfig(stage='mouth_pose', steps=8_000),
    model=ModelConfig(image_size=1024, dtype='bfloat16', remat='blocks'),
    data=DataConfig(batch_size=8, workers=8, emotions='neutral'),
    mesh=MeshConfig(spatial=4),
  )
