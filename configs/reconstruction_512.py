"""Stage `reconstruction` at 512 pixels: one more level with 32 channels, bfloat16, two devices a picture."""

from edtalk_jax.config import Config, DataConfig, MeshConfig, ModelConfig, RunConfig


def get_config() -> Config:
  """For 16 chips: 8 pairs of devices with 4 examples each.

  A pair shares the rows of its pictures (`mesh.spatial`). With more memory per chip, `--set mesh.spatial=1
  model.remat=none` is faster.
  """
  return Config(
    run=RunConfig(stage='reconstruction', steps=200_000),
    model=ModelConfig(image_size=512, dtype='bfloat16', remat='blocks'),
    data=DataConfig(batch_size=32, workers=8),
    mesh=MeshConfig(spatial=2),
  )
