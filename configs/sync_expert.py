"""Stage `sync_expert` at full size: faces of 96 pixels out of pictures of 256, Wav2Lip's network and optimiser."""

from edtalk_jax.config import Config, DataConfig, LogConfig, OptimizerConfig, RunConfig


def get_config() -> Config:
  """Wav2Lip trains its expert with batches of 64 and Adam at 1e-4; how long, its loss on held-out people decides."""
  return Config(
    run=RunConfig(stage='sync_expert', steps=200_000),
    optimizer=OptimizerConfig(learning_rate=1e-4, beta1=0.9, beta2=0.999, generator_every=0),
    data=DataConfig(batch_size=64, workers=8),
    log=LogConfig(every=100),
  )
