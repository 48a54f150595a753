"""Stage `semantic_expression` at full size, on expression weights: `--set data.motion=` a run of stage expression.

For features of HuBERT and RoBERTa, see `edtalk extract-features`; without, it learns from built-in ones.
"""

from edtalk_jax.config import Config, DataConfig, LogConfig, ModelConfig, OptimizerConfig, RunConfig


def get_config() -> Config:
  """The official trainer is not released; the schedule is ours (docs/stages/semantic_expression.md)."""
  return Config(
    run=RunConfig(stage='semantic_expression', steps=20_000),
    model=ModelConfig(banks=(('mouth', 20), ('pose', 6), ('expression', 10)), expression_module=True),
    optimizer=OptimizerConfig(learning_rate=1e-4, beta1=0.9, beta2=0.999, generator_every=0),
    data=DataConfig(batch_size=64, workers=8),
    log=LogConfig(every=100),
  )
