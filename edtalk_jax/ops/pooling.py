"""Max-pooling for the VGG19 of the perceptual loss."""

import functools
import itertools

import jax
import jax.numpy as jnp

from edtalk_jax.ops import convolution, pairs, tpu_forms


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


def conv_max_pool(x: jax.Array, kernel: jax.Array, *, paired: bool = False) -> jax.Array:
  """`max_pool(conv(x, kernel))` for a kernel of 3 x 3.

  Args:
    x: [batch, height, width, in], or with its columns in pairs (`ops.pairs`).
    kernel: [3, 3, in, out] in the type of `x`.
    paired: whether it is; the result has single columns.

  Returns:
    [batch, height // 2, width // 2, out].
  """

  def apart(x, kernel):
    y = convolution.conv(x, kernel, paired=paired)
    return max_pool(pairs.split_columns(y) if paired else y)

  if x.shape[1] % 2 or (x.shape[2] % 2 and not paired):
    return apart(x, kernel)
  form = lambda x, kernel: convolve_in_quarters(x, kernel, paired)
  return jax.lax.platform_dependent(x, kernel, tpu=form, default=apart)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_in_quarters(x: jax.Array, kernel: jax.Array, paired: bool) -> jax.Array:
  """`conv_max_pool` of even sizes for TPUs: a strided convolution for each pixel of a block, or each row of pairs.

  The largest is then found as the results come. From one map, every second row would be copied out first.
  """
  return functools.reduce(jnp.maximum, _convolved_quarters(x, kernel, paired))


def _convolved_quarters(x, kernel, paired):
  """What `_quarters` gives of the convolution's result."""
  border = ((1, 0), (0, 1))  # zeros before and after, for the first pixel of two and for the second
  conv = functools.partial(jax.lax.conv_general_dilated, x, dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
  if paired:
    kernel = pairs.kernel_of_pairs(kernel, 1, 1)
    rows = (conv(kernel, window_strides=(2, 1), padding=(row, (1, 1))) for row in border)
    return [half for row in rows for half in jnp.split(row, 2, axis=-1)]
  return [conv(kernel, window_strides=(2, 2), padding=at) for at in itertools.product(border, border)]


def _pooled_forward(x, kernel, paired):
  quarters = _convolved_quarters(x, kernel, paired)
  largest = functools.reduce(jnp.maximum, quarters)
  return largest, (x, kernel, quarters, largest)


def _pooled_backward(paired, residuals, cotangent):
  x, kernel, quarters, largest = residuals
  height, width = x.shape[1], x.shape[2] * (2 if paired else 1)
  of_map = _gradient(quarters, largest, cotangent, (height, width), paired)
  of_map = pairs.pair_columns(of_map) if paired else of_map
  form = tpu_forms.conv_pairs if paired else convolution.same_conv
  of_x = jax.linear_transpose(lambda x: form(x, kernel), x)
  of_kernel = jax.linear_transpose(lambda kernel: form(x, kernel), kernel)
  return *of_x(of_map), *of_kernel(of_map)


convolve_in_quarters.defvjp(_pooled_forward, _pooled_backward)


def _paired(x):
  # Halves of pairs, which the convolution before computes: nothing moves between the two (`ops.pairs`).
  return pairs.narrow(x.shape[3]) and x.shape[2] % 2 == 0


def _quarters(x):
  """The four pixels of each block, row-major, as [batch, height // 2, width // 2, channels] each."""
  height, width = x.shape[1:3]
  if _paired(x):
    rows = (pairs.pair_columns(x)[:, first:height // 2 * 2:2] for first in (0, 1))
    return [half for row in rows for half in jnp.split(row, 2, axis=-1)]
  return [x[:, i:height // 2 * 2:2, j:width // 2 * 2:2] for i, j in itertools.product((0, 1), repeat=2)]


def _backward(residuals, cotangent):
  x, largest = residuals
  return (_gradient(_quarters(x), largest, cotangent, x.shape[1:3], _paired(x)),)


def _gradient(quarters, largest, cotangent, size, paired):
  """Of the map of `size` whose `quarters` have these `largest` values."""
  parts, free = [], jnp.ones(largest.shape, bool)
  for quarter in quarters:
    first = free & (quarter == largest)
    free &= ~first
    parts.append(jnp.where(first, cotangent, 0))
  if paired:
    parts = [jnp.concatenate(parts[i:i + 2], -1) for i in (0, 2)]
    spread = (_spread(part, i, 0, (size[0], part.shape[2])) for i, part in enumerate(parts))
    return pairs.split_columns(functools.reduce(jnp.add, spread))
  return functools.reduce(jnp.add, (_spread(part, *divmod(i, 2), size) for i, part in enumerate(parts)))


def _spread(part, row, column, size):
  """`part` at every second row (and column, unless all are there), from these on, among zeros."""
  holes = [(0, 0, 0)]
  for first, count, length in zip((row, column), part.shape[1:3], size, strict=True):
    step = 1 if count == length else 2
    holes.append((first, length - first - step * (count - 1) - 1, step - 1))
  return jax.lax.pad(part, jnp.zeros((), part.dtype), (*holes, (0, 0, 0)))


max_pool.defvjp(lambda x: (y := max_pool(x), (x, y)), _backward)
