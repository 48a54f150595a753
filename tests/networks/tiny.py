"""The smallest model that has every part, for tests of structure."""

import functools

import flax.traverse_util
import jax

from edtalk_jax.config import ModelConfig
from edtalk_jax.networks import EDTalk

CONFIG = ModelConfig(
  image_size=16,
  style_dim=12,
  channel_base=128,
  channel_max=16,
  banks=(('mouth', 4), ('pose', 3), ('expression', 2)),
  trunk_layers=2,
  head_layers=2,
  expression_module=True,
  expression_hidden=8,
)


def images(seed: int, batch: int = 2, size: int = CONFIG.image_size) -> jax.Array:
  """Uniform noise in [-1, 1]."""
  return jax.random.uniform(jax.random.key(seed), (batch, size, size, 3), minval=-1, maxval=1)


@functools.cache
def variables(config: ModelConfig = CONFIG, seed: int = 0):
  """Initial variables of `EDTalk(config)`."""
  image = images(0, 1, config.image_size)
  return jax.jit(EDTalk(config).init)(jax.random.key(seed), image, image)


def paths(tree) -> dict[str, jax.Array]:
  """Parameter path -> array."""
  return flax.traverse_util.flatten_dict(tree['params'], sep='/')


@functools.partial(jax.jit, static_argnames=('model', 'method', 'capture'))
def apply(model, v, *arguments, method=None, capture=False):
  """`model.apply` under jit, since hundreds of small operations compile slower one by one; `capture` adds taps."""
  mutable = ['intermediates'] if capture else False
  return model.apply(v, *arguments, method=method, mutable=mutable, capture_intermediates=capture)
