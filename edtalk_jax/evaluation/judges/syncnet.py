"""SyncNet (Chung and Zisserman, 2016) as published with `syncnet_python` (`syncnet_v2.model`): what Sync-C and Sync-D
are measured with in the field.
"""

import jax
import jax.numpy as jnp

from edtalk_jax.evaluation.judges.layers import Arrays, batch_norm, conv, dense, max_pool

SIDE, FRAMES = 224, 5  # pixels; pictures of a window of 200 ms
COEFFICIENTS, COLUMNS = 13, 20  # of the cepstrum of a window
NEEDS = ('netcnnlip.0.weight', 'netcnnaud.0.weight', 'netfclip.3.weight')


def lips(arrays: Arrays, frames: jax.Array) -> jax.Array:
  """Maps windows [n, 5, 224, 224, 3], BGR from 0 to 255, to float32[n, 1024]."""
  n, count, side, _, channels = frames.shape
  x = frames.astype(jnp.float32).transpose(0, 2, 3, 1, 4).reshape(n, side, side, count * channels)
  x = max_pool(_conv(arrays, x, 'netcnnlip', 0, stride=2))
  x = max_pool(_conv(arrays, x, 'netcnnlip', 4, stride=2, padding=1), padding=1)
  for number in (8, 11, 14):
    x = _conv(arrays, x, 'netcnnlip', number, padding=1)
  return _head(arrays, _conv(arrays, max_pool(x), 'netcnnlip', 18), 'netfclip')


def sound(arrays: Arrays, cepstrum: jax.Array) -> jax.Array:
  """Maps windows [n, 13, 20] of mel-frequency cepstral coefficients, 100 a second, to float32[n, 1024]."""
  x = _conv(arrays, cepstrum[..., None], 'netcnnaud', 0, padding=1)
  x = max_pool(_conv(arrays, x, 'netcnnaud', 4, padding=1), stride=(1, 2))
  for number in (8, 11, 14):
    x = _conv(arrays, x, 'netcnnaud', number, padding=1)
  return _head(arrays, _conv(arrays, max_pool(x), 'netcnnaud', 18), 'netfcaud')


def _conv(arrays: Arrays, x: jax.Array, part: str, number: int, *, stride: int = 1, padding: int = 0) -> jax.Array:
  y = conv(x, arrays, f'{part}.{number}', stride=stride, padding=((padding,) * 2,) * 2)
  return jax.nn.relu(batch_norm(y, arrays, f'{part}.{number + 1}', epsilon=1e-5))


def _head(arrays: Arrays, x: jax.Array, part: str) -> jax.Array:
  x = batch_norm(dense(x.reshape(len(x), -1), arrays, f'{part}.0'), arrays, f'{part}.1', epsilon=1e-5)
  return dense(jax.nn.relu(x), arrays, f'{part}.3')
