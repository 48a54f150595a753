"""LPIPS (Zhang et al., 2018), version 0.1: weighted distances between the features of AlexNet or VGG16.

The trunk is torchvision's ImageNet network, the weights of the layers those of the authors (`lpips/weights/v0.1`).
"""

import jax
import jax.numpy as jnp

from edtalk_jax.evaluation.judges.layers import Arrays, conv, max_pool
from edtalk_jax.ops import expand_like

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pictures in [-1, 1], RGB
NEEDS = {'alex': ('features.0.weight', 'features.10.weight'), 'vgg': ('features.0.weight', 'features.28.weight')}
NEEDS_LAYERS = ('lin0.model.1.weight', 'lin4.model.1.weight')
_VGG = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))  # numbers of the convolutions, pooled in between


def distance(trunk: Arrays, layers: Arrays, a: jax.Array, b: jax.Array) -> jax.Array:
  """Returns float32[n] for uint8[n, height, width, 3] twice, at their own size; 0 for equal pictures."""
  total = jnp.zeros(len(a))
  for k, (one, other) in enumerate(zip(_features(trunk, a), _features(trunk, b), strict=True)):
    squares = jnp.square(_unit(one) - _unit(other))
    weight = expand_like(jnp.asarray(layers[f'lin{k}.model.1.weight'])[0, 0, :, 0], squares)
    total += (squares * weight).sum(-1).mean((1, 2))
  return total


def _features(trunk: Arrays, images: jax.Array) -> list[jax.Array]:
  shift, scale = (expand_like(jnp.array(values), images) for values in (SHIFT, SCALE))
  x = (images.astype(jnp.float32) / 127.5 - 1 - shift) / scale
  return _vgg(trunk, x) if 'features.28.weight' in trunk else _alex(trunk, x)


def _alex(trunk: Arrays, x: jax.Array) -> list[jax.Array]:
  first = jax.nn.relu(conv(x, trunk, 'features.0', stride=4, padding=((2, 2), (2, 2))))
  second = jax.nn.relu(conv(max_pool(first), trunk, 'features.3'))
  found, x = [first, second], max_pool(second)
  for number in (6, 8, 10):
    x = jax.nn.relu(conv(x, trunk, f'features.{number}'))
    found.append(x)
  return found


def _vgg(trunk: Arrays, x: jax.Array) -> list[jax.Array]:
  found = []
  for numbers in _VGG:
    x = max_pool(x, size=2) if found else x
    for number in numbers:
      x = jax.nn.relu(conv(x, trunk, f'features.{number}'))
    found.append(x)
  return found


def _unit(x: jax.Array) -> jax.Array:
  return x / (jnp.sqrt(jnp.square(x).sum(-1, keepdims=True)) + 1e-10)
