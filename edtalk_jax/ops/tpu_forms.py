"""Convolutions as a TPU does them best: wide matrices, no products with zeros of dilation, filters apart from kernels.

Each equals the function of its name in `ops.convolution`. Costs are the TPU compiler's estimates, docs/performance.md.
"""

import functools

import jax

from edtalk_jax.ops import filtered, lanes, phases, resample

_FILTERED = ((2, 2), (1, 1))  # padding of a 3 x 3 kernel with the filter in it, over rows and pairs of columns
_LAYOUT = ('NHWC', 'HWIO', 'NHWC')


def conv_columns(x: jax.Array, kernel: jax.Array, columns: int) -> jax.Array:
  """`conv` of columns side by side: [batch, height, width / count, count * in] -> [..., count * out]."""
  side = kernel.shape[0]
  wide = lanes.wide_kernel(kernel, columns, side // 2)
  return pointwise(x, wide[0, 1]) if side == 1 else _conv(x, wide, (1, 1), 'SAME')


@jax.custom_vjp
def pointwise(x: jax.Array, matrix: jax.Array) -> jax.Array:
  """x[batch, height, width, in] @ matrix[in, out].

  To more channels it is a convolution: the result has the layout that other convolutions want, and what follows is
  fused into them. To fewer it is a product, since convolutions would fill up a few channels to a whole vector.
  """
  if matrix.shape[0] < matrix.shape[1]:
    return _conv_by_matrix(x, matrix)
  return x @ matrix


def _conv_by_matrix(x, matrix):
  return _conv(x, matrix.reshape(1, 1, *matrix.shape), (1, 1), 'VALID')


def _pointwise_backward(residuals, cotangent):
  x, matrix = residuals
  of_matrix = jax.linear_transpose(functools.partial(_conv_by_matrix, x), matrix)(cotangent)[0]
  return pointwise(cotangent, matrix.T), of_matrix


pointwise.defvjp(lambda x, matrix: (pointwise(x, matrix), (x, matrix)), _pointwise_backward)


def downsample(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`conv_downsample` as a blur of each channel and a strided convolution, whose gradients multiply no zeros."""
  if kernel.shape[0] == 1:
    return resample.depthwise_blur(x, (1, 1), stride=2) @ kernel[0, 0]
  return filtered.strided_conv(x, kernel)


def downsample_pairs(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`conv_downsample` of a map with its columns in pairs.

  The filter is folded into the kernel, but for the rows of a 1 x 1 convolution, where it would be most of the products.
  """
  if kernel.shape[0] == 1:
    wide = lanes.wide_kernel(resample.blur_kernel(kernel, rows=False), 2, 1, 2).astype(kernel.dtype)
    return _conv(resample.depthwise_blur(x, (1, 1), stride=2, columns=False), wide, (1, 1), ((0, 0), (1, 1)))
  return phases.strided_conv(x, _filtered_pairs(kernel), (2, 1), _FILTERED)


def upsample(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`conv_upsample` as a transposed convolution, phase by phase, and a blur of each channel."""
  return filtered.transposed_conv(x, kernel.swapaxes(2, 3))


def upsample_pairs(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`conv_upsample`, whose result has its columns in pairs: the transpose of `downsample_pairs`."""
  wide = _filtered_pairs(kernel.swapaxes(2, 3))
  return phases.transposed_conv(x, wide, (2, 1), _FILTERED, (2 * x.shape[1], x.shape[2]))


def _filtered_pairs(kernel):
  """A 3 x 3 kernel with the filter in it, for pairs of columns, that takes every second row and column."""
  return lanes.wide_kernel(resample.blur_kernel(kernel), 2, 2, 2).astype(kernel.dtype)


def _conv(x, kernel, strides, padding):
  return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_LAYOUT)
