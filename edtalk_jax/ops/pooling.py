"""Max-pooling for the VGG19 of the perceptual loss."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax.ops import backend, convolution, lanes, phases

_LAYOUT = ('NHWC', 'HWIO', 'NHWC')
_BORDERS = ((1, 0), (0, 1))  # zeros before and after, for the first of two and for the second


@jax.custom_vjp
def max_pool(x: jax.Array) -> jax.Array:
  """Largest value of each 2 x 2 block; an odd last row or column is dropped.

  Among equal values the gradient goes to the first in row-major order, as in PyTorch. Selecting between strided views
  says just that, and spares the select-and-scatter that XLA emits for the gradient of `reduce_window`.

  Args:
    x: [batch, height, width, channels].

  Returns:
    [batch, height // 2, width // 2, channels].
  """
  return functools.reduce(jnp.maximum, _quarters(x))


def _quarters(x):
  """The four pixels of each block, row-major, as [batch, height // 2, width // 2, channels] each."""
  height, width = x.shape[1:3]
  return [x[:, i : height // 2 * 2 : 2, j : width // 2 * 2 : 2] for i, j in itertools.product((0, 1), repeat=2)]


def _backward(residuals, cotangent):
  x, largest = residuals
  return (_spread(_first(_quarters(x), largest), cotangent, x.shape[1:3]),)


max_pool.defvjp(lambda x: (y := max_pool(x), (x, y)), _backward)


def _first(quarters, largest):
  """Which of `quarters` is the first with the `largest` value, int8; the last where that is not a number."""
  which = jnp.int8(len(quarters) - 1)
  for index, quarter in reversed(list(enumerate(quarters[:-1]))):
    which = jnp.where(quarter == largest, jnp.int8(index), which)
  return which


def _spread(which, cotangent, size):
  """Map of `size` with the cotangent of each block at the pixel that `which` names, and zeros."""
  places = enumerate(itertools.product((0, 1), repeat=2))
  return phases.interleave({at: jnp.where(which == index, cotangent, 0) for index, at in places}, (2, 2), size)


def conv_max_pool(x: jax.Array, kernel: jax.Array, *, columns: int = 1) -> jax.Array:
  """`max_pool(conv(x, kernel))` for a kernel of 3 x 3.

  Args:
    x: [batch, height, width, in], or with `columns` of them side by side (`ops.lanes`).
    kernel: [3, 3, in, out] in the type of `x`.
    columns: 1 or, if there is an even number of pairs, 2.

  Returns:
    [batch, height // 2, width // 2, out], or with `columns` of them side by side.

  Raises:
    ValueError: for another number of columns.
  """
  lanes.check_pairs(columns)

  def apart(x, kernel):
    return lanes.join_columns(max_pool(convolution.conv(lanes.split_columns(x, columns), kernel)), columns)

  if x.shape[1] % 2 or x.shape[2] % 2:
    return apart(x, kernel)
  form = lambda x, kernel: convolve_in_quarters(x, kernel, columns)
  return backend.select(x, kernel, tpu=form, default=apart)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_in_quarters(x: jax.Array, kernel: jax.Array, columns: int) -> jax.Array:
  """`conv_max_pool` of even sizes for TPUs: a strided convolution for each pixel of a block.

  The largest is then found as the results come. From one map, every second row would be copied out first. Of pairs of
  columns, the first columns of two blocks are computed side by side, and so are their second ones: halves of a pair,
  which would have to be moved to be compared, never meet.
  """
  return functools.reduce(jnp.maximum, _convolved_quarters(x, kernel, columns))


def _convolved_quarters(x, kernel, columns):
  kernels = kernel, kernel
  if columns == 2:
    wide = _kernel_of_two_blocks(kernel)
    half = wide.shape[-1] // 2
    kernels = wide[:, :3, :, :half], wide[:, 1:, :, half:]
  return [
    _conv(x, kernels[column], (2, 2), (_BORDERS[row], _BORDERS[column]))
    for row, column in itertools.product((0, 1), repeat=2)
  ]


def _pooled_forward(x, kernel, columns):
  quarters = _convolved_quarters(x, kernel, columns)
  largest = functools.reduce(jnp.maximum, quarters)
  return largest, (x, kernel, _first(quarters, largest))


def _pooled_backward(columns, residuals, cotangent):
  x, kernel, which = residuals
  batch, height, width, channels = cotangent.shape
  at = np.arange(4, dtype=np.int8).reshape(1, 1, 2, 1, 2, 1)
  blocks = lambda x: x[:, :, None, :, None]
  # [batch, height, row, width, column, channels]. Without the barrier XLA makes it again in each reader.
  of_map = jax.lax.optimization_barrier(jnp.where(blocks(which) == at, blocks(cotangent), 0))
  of_map = of_map.reshape(batch, 2 * height, 2 * width, channels)
  if columns == 2:
    return _two_blocks_backward(x, kernel, of_map)
  of_x = jax.linear_transpose(lambda x: convolution.same_conv(x, kernel), x)
  of_kernel = jax.linear_transpose(lambda kernel: convolution.same_conv(x, kernel), kernel)
  return *of_x(of_map), *of_kernel(of_map)


convolve_in_quarters.defvjp(_pooled_forward, _pooled_backward)


def _two_blocks_backward(x, kernel, of_map):
  """Gradients by one of a map in which first columns of two blocks, side by side, and second ones take turns."""
  strides, padding = (1, 2), ((1, 1), (1, 1))
  back = _kernel_from_two_blocks(kernel)
  if lanes.free(x):
    of_x = lanes.split_columns(_conv(of_map, back, strides, padding), 2)
  else:
    # Each pair of the two by itself, which meets three of the four taps: all columns together would be copied twice.
    half = back.shape[-1] // 2
    kernels = back[:, :3, :, :half], back[:, 1:, :, half:]
    pairs = {(0, i): _conv(of_map, kernels[i], strides, (padding[0], _BORDERS[i])) for i in (0, 1)}
    of_x = phases.interleave(pairs, strides, x.shape[1:3])
  of_kernel = jax.linear_transpose(lambda kernel: _conv(x, _kernel_of_two_blocks(kernel), strides, padding), kernel)
  return of_x, *of_kernel(lanes.join_columns(of_map, 2))


def _kernel_of_two_blocks(kernel):
  """[3, 4, 2 * in, 4 * out]: from pairs 2 j - 1 to 2 j + 2 to columns 0, 2, 1 and 3 of the blocks 2 j and 2 j + 1."""
  return jnp.concatenate([lanes.shifted_kernel(kernel, 4, 2, 1 + output) for output in (0, 2, 1, 3)], -1)


def _kernel_from_two_blocks(kernel):
  """Of the gradient of `kernel`'s convolution: [3, 4, 2 * out, 4 * in], to all four columns of two blocks.

  Columns of the map come as 0 2 | 1 3, by block; a column of the result meets those from one before to one behind:

    columns:   ... -3 -1 | 0 2 | 1 3 | 4 6 ...
    taps:            0      1     2     3
  """
  kernel = kernel[::-1, ::-1].swapaxes(2, 3)
  rows, _, channels, features = kernel.shape

  def to(output):
    # Twelve columns from four before its own, by four: two blocks of two columns each, of which the first come first.
    twelve = lanes.shifted_kernel(kernel, 3, 4, 3 + output).reshape(rows, 3, 2, 2, channels, features)
    return twelve.swapaxes(2, 3).reshape(rows, 6, 2 * channels, features)[:, 1:5]

  return jnp.concatenate([to(output) for output in range(4)], -1)


def _conv(x, kernel, strides, padding):
  return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_LAYOUT)
