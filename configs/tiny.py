"""The smallest model that still has every part: 64 pixels, two CPU cores. Used by tests and `make demo`."""

from edtalk_jax.config import (
  CheckpointConfig,
  Config,
  DataConfig,
  LogConfig,
  ModelConfig,
  OptimizerConfig,
  PerceptualConfig,
  RunConfig,
)


def get_config() -> Config:
  """Stage `reconstruction`; `--set run.stage=mouth_pose --from RUN` continues with the second stage."""
  return Config(
    run=RunConfig(steps=1000),
    model=ModelConfig(image_size=64, style_dim=128, channel_base=1024, channel_max=64,
                      banks=(('mouth', 20), ('pose', 6))),
    # At 64 pixels the scale 0.125 leaves nothing for VGG's last pooling.
    perceptual=PerceptualConfig(scales=(1.0, 0.5, 0.25), width=0.25),
    optimizer=OptimizerConfig(),
    data=DataConfig(batch_size=8),
    log=LogConfig(every=10, samples_every=200, validate_batches=4),
    checkpoint=CheckpointConfig(every=200),
  )
