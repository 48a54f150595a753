"""A model that compiles in seconds, and batches of noise for it."""

import numpy as np

from edtalk_jax import stages
from edtalk_jax.config import AudioConfig, Config, DataConfig, ModelConfig, PerceptualConfig, RunConfig

FIELDS = {
  'reconstruction': ('source', 'target'),
  'expression': ('source', 'target'),
  'personalize': ('source', 'target'),
  'sync_expert': (),
  'audio_to_mouth': ('source',),
  'mouth_pose': ('source_a', 'source_b', 'target_a', 'target_b', 'target_a_mouth_b', 'target_b_mouth_a'),
}


def config(stage: str = 'mouth_pose', **model) -> Config:
  sizes = {'image_size': 16, 'style_dim': 32, 'channel_base': 256, 'channel_max': 16, **model}
  return Config(
    run=RunConfig(stage=stage, steps=4),
    model=ModelConfig(**{'banks': (('mouth', 4), ('pose', 3)), 'trunk_layers': 2, 'head_layers': 2, **sizes}),
    perceptual=PerceptualConfig(scales=(1.0,), width=1 / 16),
    audio=AudioConfig(width=1 / 32),
    data=DataConfig(batch_size=8, workers=0),
  )


def batch(config: Config, size: int | None = None, seed: int = 0) -> dict[str, np.ndarray]:
  """Patches of colour: pictures that differ more than noise does, whose codes are all alike. Other arrays are noise."""
  side, rng = config.model.image_size, np.random.default_rng(seed)
  count, patch = size or config.data.batch_size, np.ones((side // 4, side // 4, 1), np.uint8)

  def pictures(*axes):
    return np.kron(rng.integers(0, 256, (*axes, 4, 4, 3), dtype=np.uint8), patch)

  found = {name: pictures(count) for name in FIELDS[config.run.stage]}
  for name, field in stages.build(config).arrays.items():
    noise = rng.normal(0, 1, (count, *field.shape)).astype(np.float32)
    found[name] = pictures(count, field.shape[0]) if field.dtype == np.uint8 else noise
  if 'boxes' in found:  # left, top, right, bottom in pixels
    found['boxes'] = np.broadcast_to(np.float32([0, 0, side, side]), found['boxes'].shape) + found['boxes']
  return found
