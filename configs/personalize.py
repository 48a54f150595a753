"""Stage `personalize` at full size, on one person's video. Start it with `--from` a run of expression.

From a run of mouth_pose: `--set 'model.banks=(("mouth",20),("pose",6))' model.expression_module=False`.

Of records of several people, `--set personalize.identity=NAME` chooses one. The official trainer has batches of 32.
"""

from edtalk_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, ModelConfig, RunConfig


def get_config() -> Config:
  """The decoder alone; the run ends when held-out frames no longer get better (steps and patience are ours)."""
  return Config(
    run=RunConfig(stage='personalize', train='decoder', steps=2000),
    model=ModelConfig(banks=(('mouth', 20), ('pose', 6), ('expression', 10)), expression_module=True),
    data=DataConfig(batch_size=32, workers=8),
    log=LogConfig(samples_every=100, validate_batches=8),
    checkpoint=CheckpointConfig(every=50, keep=1, patience=6),
  )
