"""Stage `mouth_pose` at 512 pixels: start it with `--from` a run of `reconstruction_512.py`."""

from edtalk_jax.config import Config, DataConfig, MeshConfig, ModelConfig, RunConfig


def get_config() -> Config:
  """For 16 chips: 8 pairs of devices with one pair of faces (six pictures) each."""
  return Config(
    run=RunConfig(stage='mouth_pose', steps=8_000),
    model=ModelConfig(image_size=512, dtype='bfloat16', remat='blocks'),
    data=DataConfig(batch_size=8, workers=8, emotions='neutral'),
    mesh=MeshConfig(spatial=2),
  )
