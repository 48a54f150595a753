"""The FIR filter as products with banded matrices, for matrix units: columns of pixels are their features.

A filter of each channel by itself is work for vector units: 16 taps for each pixel. As a product with a matrix of
width x width, nearly all of it zeros, it takes a third of that time, up to WIDEST columns. The columns of what goes in
may be in any order: that two parities are to be interleaved is then part of the matrix.
"""

import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax.ops.resample import TAPS

WIDEST = 64  # columns; 128 would fill lanes: XLA puts them there and turns maps around (docs/performance.md)

Parts = dict[tuple[int, int], jax.Array]
# Channels are what a convolution calls the batch, columns its features, pictures and rows its space.
_LAYOUT = jax.lax.ConvDimensionNumbers(lhs_spec=(3, 2, 0, 1), rhs_spec=(3, 2, 0, 1), out_spec=(3, 2, 0, 1))


def blur(x: jax.Array, pad: tuple[int, int]) -> jax.Array:
  """`resample.blur`, rounded once.

  Args:
    x: [batch, height, width, channels].
    pad: zeros before and after, on both axes.

  Returns:
    [batch, height + sum(pad) - 3, width + sum(pad) - 3, channels] in the type of `x`.
  """
  columns = _band(x.shape[2], pad)
  return _products(x, TAPS[:, None, None] * columns, pad)


def blur_interleaved(parts: Parts) -> jax.Array:
  """`resample.blur(x, (1, 1))` of the x[batch, 2 * height + 1, 2 * width + 1, channels] with these parts.

  Args:
    parts: x[:, a::2, b::2] by (a, b).

  Returns:
    [batch, 2 * height, 2 * width, channels] in the type of the parts.
  """
  (_, height, width, _), pad = parts[1, 1].shape, 1
  columns, kernels = _band(2 * width + 1, (pad, pad)), []
  for a, b in parts:
    kernel = np.zeros((3, parts[a, b].shape[2], 2, 2 * width))
    for row in (0, 1):  # of a pair of the result, which meets rows of this parity in three pairs
      for tap, weight in enumerate(TAPS):
        pair, parity = divmod(row + tap - pad, 2)
        if parity == a:
          kernel[pair + 1, :, row] += weight * columns[b::2]
    kernels.append(kernel.reshape(3, -1, 4 * width))
  pairs = _products(_side_by_side(parts), np.concatenate(kernels, 1), (1, 0))
  return pairs.reshape(-1, 2 * height, 2 * width, pairs.shape[-1])


def _band(size, pad):
  """[size, size + sum(pad) - 3]: what each column gives to each of the result."""
  before = np.arange(size)[:, None] + pad[0] - np.arange(size + sum(pad) - 3)
  return np.where((before >= 0) & (before < len(TAPS)), TAPS[np.clip(before, 0, len(TAPS) - 1)], 0)


def _products(x, kernel, pad):
  """y[n, i, v, c] = sum_t sum_w x[n, i + t - pad[0], w, c] kernel[t, w, v]."""
  kernel = jnp.asarray(kernel[None], x.dtype)  # taps and their products are exact in bfloat16
  return jax.lax.conv_general_dilated(
    x, kernel, (1, 1), [(0, 0), pad], dimension_numbers=_LAYOUT, precision=jax.lax.Precision.HIGHEST
  )


def _side_by_side(parts):
  """The parts with their columns in a row, as a sum of padded ones: in one pass, where stacking takes two."""
  height = max(part.shape[1] for part in parts.values())
  width, at, total = sum(part.shape[2] for part in parts.values()), 0, None
  for part in parts.values():
    columns = (at, width - at - part.shape[2])
    padded = jnp.pad(part, ((0, 0), (0, height - part.shape[1]), columns, (0, 0)))
    at, total = at + part.shape[2], padded if total is None else total + padded
  return total
