"""The layers of published PyTorch networks, on NHWC float32, from arrays by their published names."""

import pathlib
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax.ops import expand_like
from edtalk_jax.weights import files

Arrays = Mapping[str, jax.Array | np.ndarray]  # kernels as height, width, in, out; matrices as in, out
Padding = str | Sequence[tuple[int, int]]


def read(path: str | pathlib.Path, what: str, *, needs: Sequence[str]) -> dict[str, np.ndarray]:
  """Reads a weights file of PyTorch, or the same names in a .npz or .safetensors file.

  Args:
    path: of the file.
    what: it should hold, for messages.
    needs: names without which it is another file.

  Returns:
    Arrays in float32 and in our order of axes.

  Raises:
    ValueError: in one line, if the file is missing, damaged or holds something else.
  """
  tensors = {name.removeprefix('module.'): tensor for name, tensor in files.read(path, what).items()}
  if missing := [name for name in needs if name not in tensors]:
    raise ValueError(f'{what}: {path} holds no {missing[0]}')
  return {name: from_torch(np.asarray(tensor, np.float32)) for name, tensor in tensors.items()}


def from_torch(array: np.ndarray) -> np.ndarray:
  """Brings the axes of a PyTorch kernel to ours: out, in, (time,) height, width -> height, width, (time x) in, out."""
  if array.ndim == 5:  # a window of pictures, stacked in the channels frame by frame
    out, channels, time, height, width = array.shape
    array = array.transpose(0, 2, 1, 3, 4).reshape(out, time * channels, height, width)
  return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T if array.ndim == 2 else array


def conv(x: jax.Array, arrays: Arrays, name: str, *, stride: int = 1, padding: Padding = 'SAME') -> jax.Array:
  """Convolves x[n, height, width, in] with `<name>.weight`, and adds `<name>.bias` if there is one."""
  y = jax.lax.conv_general_dilated(
    x,
    jnp.asarray(arrays[f'{name}.weight']),
    (stride, stride),
    padding,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    precision='highest',
  )
  return y + _like(y, arrays, f'{name}.bias') if f'{name}.bias' in arrays else y


def dense(x: jax.Array, arrays: Arrays, name: str) -> jax.Array:
  """Maps x[n, in] to [n, out]."""
  return jnp.matmul(x, jnp.asarray(arrays[f'{name}.weight']), precision='highest') + _like(x, arrays, f'{name}.bias')


def batch_norm(x: jax.Array, arrays: Arrays, name: str, *, epsilon: float) -> jax.Array:
  """Normalises the last axis by the running statistics of `name`."""
  weight, variance, mean, bias = (
    _like(x, arrays, f'{name}.{field}') for field in ('weight', 'running_var', 'running_mean', 'bias')
  )
  return (x - mean) * (weight / jnp.sqrt(variance + epsilon)) + bias


def _like(x: jax.Array, arrays: Arrays, name: str) -> jax.Array:
  return expand_like(jnp.asarray(arrays[name]), x)


def max_pool(
  x: jax.Array, size: int | tuple[int, int] = 3, stride: int | tuple[int, int] = 2, padding: int = 0
) -> jax.Array:
  """PyTorch's max pooling of [n, height, width, channels]: what does not fill a window is left out."""
  (h, w), (sh, sw) = (v if isinstance(v, tuple) else (v, v) for v in (size, stride))
  pads = ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0))
  return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, h, w, 1), (1, sh, sw, 1), pads)


def mean_pool(x: jax.Array) -> jax.Array:
  """Means over 3 x 3 pixels; at the border over those that are there (`count_include_pad=False`)."""

  def sums(y):
    return jax.lax.reduce_window(y, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), 'SAME')

  return sums(x) / sums(jnp.ones_like(x[:1, :, :, :1]))
