"""Stage `audio_to_pose` at full size, on pose weights: `--set data.motion=` a run of mouth_pose or a later stage."""

from edtalk_jax.config import Config, DataConfig, FlowConfig, LogConfig, ModelConfig, OptimizerConfig, RunConfig

BATCH = 64


def get_config() -> Config:
  """The official trainer is not released; sizes and schedule are ours (docs/stages/audio_to_pose.md)."""
  return Config(
    run=RunConfig(stage='audio_to_pose', steps=100_000),
    model=ModelConfig(banks=(('mouth', 20), ('pose', 6), ('expression', 10)), expression_module=True),
    flow=FlowConfig(frames=100),
    # Half-life of an average with 0.999 for each step: ln 2 / 0.001 steps.
    optimizer=OptimizerConfig(
      learning_rate=1e-4, beta1=0.9, beta2=0.999, generator_every=0, clip=1.0, ema=693.0 * BATCH
    ),
    data=DataConfig(batch_size=BATCH, workers=8),
    log=LogConfig(every=100),
  )
