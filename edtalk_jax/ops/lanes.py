"""Feature maps with several columns side by side: [batch, height, width / count, count * channels].

A TPU computes and stores 128 channels at a time. Maps with 64 or fewer, the largest of the networks, leave half of it
empty, in matrix units and in memory, and colours nearly all. Side by side, two columns fill it; a kernel for several
columns has zeros in it, but costs less than half-empty units do (docs/performance.md). On other backends it costs
nothing: in row-major memory they are the same numbers in the same order.
"""

import math

import jax
import jax.numpy as jnp

from edtalk_jax.ops import partition

_LANES = 128
# A tile of a TPU's memory holds 128 channels of 8 pictures. Of no more pictures, two tiles of one column are those of
# two columns: maps are cut into columns and put together for nothing. Of more they are copied.
_TILE_PICTURES = 8
_FEW = 4  # channels, colours and flow among them, of which hundreds of columns would fit


def narrow(channels: int) -> bool:
  """Whether maps of so many channels should have their columns in pairs."""
  return 2 * channels <= _LANES


def free(x: jax.Array) -> bool:
  """Whether columns of x[batch, ...] that fill tiles are put together and cut apart for nothing on TPUs."""
  pictures = partition.pictures(x)
  return isinstance(pictures, int) and pictures <= _TILE_PICTURES  # of a symbolic batch nothing is known


def together(x: jax.Array, kernel_shape: tuple[int, ...]) -> int:
  """How many columns of a map a convolution of stride 1 should have side by side.

  Args:
    x: [batch, height, width, in].
    kernel_shape: (side, side, in, out) of the convolution.

  Returns:
    1, or a number that divides the width and with which `convolution.conv` is cheaper on TPUs.
  """
  side, _, channels, features = kernel_shape
  count = 1
  if side in (1, 3) and narrow(max(channels, features)):
    count = 16 if free(x) and min(channels, features) <= _FEW else 2
  elif side == 3 and narrow(channels) and features == _LANES and free(x):
    count = 2
  return count if x.shape[2] % count == 0 else 2 if count > 2 and x.shape[2] % 2 == 0 else 1


def check_pairs(columns: int) -> None:
  """Raises ValueError unless columns are single or in pairs."""
  if columns not in (1, 2):
    raise ValueError(f'columns must be 1 or 2, got {columns}')


def parts(width: int, channels: int) -> int:
  """Into how many parts columns of `channels` each, `width` numbers together, are cut to fill the lanes one by one.

  It divides the number of columns, so that no column is cut.
  """
  count = width // channels
  return count // math.gcd(count, max(1, _LANES // channels))


def join_columns(x: jax.Array, count: int) -> jax.Array:
  """[batch, height, width, channels], `count` a divisor of the width -> [batch, height, width / count, ...]."""
  return x if count == 1 else x.reshape(*x.shape[:2], x.shape[2] // count, count * x.shape[3])


def split_columns(x: jax.Array, count: int) -> jax.Array:
  """[batch, height, width / count, count * channels] -> [batch, height, width, channels]."""
  return x if count == 1 else x.reshape(*x.shape[:2], count * x.shape[2], x.shape[3] // count)


def repeat(values: jax.Array, width: int) -> jax.Array:
  """What belongs to channels, [..., channels], for columns of them that are side by side, [..., width].

  Raises:
    ValueError: if those are not whole columns.
  """
  count, rest = divmod(width, values.shape[-1])
  if rest:
    raise ValueError(f'{width} numbers side by side are no columns of {values.shape[-1]} channels')
  return values if count == 1 else jnp.concatenate([values] * count, -1)


def wide_kernel(kernel: jax.Array, count: int, before: int, stride: int = 1) -> jax.Array:
  """The kernel that does to `count` columns side by side what `kernel` does to columns.

  Args:
    kernel: [rows, taps, in, out]; tap k of output column i meets column stride * i + k - before. All are among the
      `count` columns and as many on either side.
    count: of columns, a multiple of `stride`.
    before: as above.
    stride: of columns; the result has count / stride of them side by side.

  Returns:
    [rows, 3, count * in, count / stride * out]; the second of its taps meets the columns themselves.
  """
  outputs = range(0, count, stride)
  return jnp.concatenate([shifted_kernel(kernel, 3, count, count + output - before) for output in outputs], -1)


def shifted_kernel(kernel: jax.Array, taps: int, count: int, at: int) -> jax.Array:
  """`kernel` among zeros, from column `at` of taps * count on: [rows, taps, count * in, out]."""
  rows, columns, channels, features = kernel.shape
  padded = jnp.pad(kernel, ((0, 0), (at, taps * count - columns - at), (0, 0), (0, 0)))
  return padded.reshape(rows, taps, count * channels, features)
