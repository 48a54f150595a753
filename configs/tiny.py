"""The smallest model that still has every part: 64 pixels, two CPU cores. Used by tests and `make demo`."""

from edtalk_jax.config import (
  CheckpointConfig,
  Config,
  DataConfig,
  LogConfig,
  LossConfig,
  ModelConfig,
  OptimizerConfig,
  PerceptualConfig,
  RunConfig,
)


def get_config() -> Config:
  """Stage `reconstruction`; `--set run.stage=mouth_pose --from RUN` continues with the second stage.

  Weights and optimiser are for runs of minutes on random VGG features, where the official ones (`Config()`) would learn
  little: L1 counts most, momentum averages over the small batches, and flows start near zero.
  """
  return Config(
    run=RunConfig(steps=1000),
    model=ModelConfig(image_size=64, style_dim=128, channel_base=1024, channel_max=64, flow_init=0.05),
    # At 64 pixels the scale 0.125 leaves nothing for VGG's last pooling.
    perceptual=PerceptualConfig(scales=(1.0, 0.5, 0.25), width=0.125),
    loss=LossConfig(l1=20.0, adversarial=0.1),
    optimizer=OptimizerConfig(learning_rate=0.005, beta1=0.9),
    data=DataConfig(batch_size=8),
    log=LogConfig(every=10, samples_every=200, validate_batches=8),
    checkpoint=CheckpointConfig(every=200),
  )
