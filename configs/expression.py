"""Stage `expression` at full size: 256 pixels, 10 expression vectors. Start it with `--from` a mouth_pose run."""

from edtalk_jax.config import Config, DataConfig, ModelConfig, RunConfig


def get_config() -> Config:
  """The official trainer is not released; steps and batch are ours (docs/stages/expression.md)."""
  return Config(
    run=RunConfig(stage='expression', steps=30_000),
    model=ModelConfig(banks=(('mouth', 20), ('pose', 6), ('expression', 10)), expression_module=True),
    data=DataConfig(batch_size=8, workers=8),
  )
