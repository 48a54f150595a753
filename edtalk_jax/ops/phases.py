"""Convolutions with stride 2, and their transposes, phase by phase: for accelerators whose matrix units do the work.

XLA runs the input gradient of a strided convolution as a convolution over a dilated image: three of four products are
with zeros, and a TPU multiplies them all. Here each phase of the result, its pixels of one parity in each axis, is an
ordinary convolution with the taps that meet it, and the phases are interleaved. A strided convolution and its transpose
are each other's gradient, so that nothing is dilated forwards or backwards, at any order.
"""

import functools
import itertools

import jax
import jax.numpy as jnp

_LAYOUT = ('NHWC', 'HWIO', 'NHWC')
Pair = tuple[int, int]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def strided_conv(x: jax.Array, kernel: jax.Array, strides: Pair, padding: tuple[Pair, Pair]) -> jax.Array:
  """Cross-correlation: y[i] = sum_k x[stride * i + k - before] kernel[k] along each axis.

  Args:
    x: [batch, height, width, in].
    kernel: [rows, columns, in, out] in the type of `x`.
    strides: of each axis.
    padding: zeros before and after each axis.

  Returns:
    [batch, ..., ..., out] in the type of `x`, as large as the padding lets it be.
  """
  return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_LAYOUT)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def transposed_conv(
  y: jax.Array, kernel: jax.Array, strides: Pair, padding: tuple[Pair, Pair], size: Pair
) -> jax.Array:
  """The transpose of `strided_conv` in its first argument: x[m] = sum y[i] kernel[k] over stride * i + k - before = m.

  Args:
    y: [batch, height, width, out].
    kernel: [rows, columns, in, out] in the type of `y`.
    strides: of each axis.
    padding: as for `strided_conv`.
    size: of the result.

  Returns:
    [batch, *size, in] in the type of `y`.
  """
  return interleave(transposed_parts(y, kernel, strides, padding, size), strides, size)


def transposed_parts(
  y: jax.Array, kernel: jax.Array, strides: Pair, padding: tuple[Pair, Pair], size: Pair
) -> dict[Pair, jax.Array]:
  """`transposed_conv` before its phases are interleaved: its pixels [:, a::rows, b::columns] by (a, b)."""
  kernel = kernel.swapaxes(2, 3)
  return {at: _phase(y, kernel, at, strides, padding, size) for at in itertools.product(*map(range, strides))}


def interleave(parts: dict[Pair, jax.Array], strides: Pair, size: Pair) -> jax.Array:
  """The map of `size` with these `parts`, as a sum: what is stacked and reshaped is copied twice."""
  spread = []
  for at, part in parts.items():
    holes = [
      (first, length - 1 - first - stride * (count - 1), stride - 1)
      for first, stride, length, count in zip(at, strides, size, part.shape[1:3], strict=True)
    ]
    spread.append(jax.lax.pad(part, jnp.zeros((), part.dtype), ((0, 0, 0), *holes, (0, 0, 0))))
  return functools.reduce(jnp.add, spread)


def _phase(y, kernel, at, strides, padding, size):
  """The pixels stride * u + at of the transposed convolution: one convolution with stride 1."""
  borders = []
  for axis, (parity, stride, (before, _), length) in enumerate(zip(at, strides, padding, size, strict=True)):
    # Tap first + stride * t meets y[u + ahead - t]: the taps in reverse, `ahead` of them behind.
    ahead, first = divmod(parity + before, stride)
    kernel = jnp.flip(jax.lax.slice_in_dim(kernel, first, kernel.shape[axis], stride, axis), axis)
    taps, count = kernel.shape[axis], -((parity - length) // stride)
    borders.append((taps - 1 - ahead, count - y.shape[axis + 1] + ahead))
  return jax.lax.conv_general_dilated(y, kernel, (1, 1), borders, dimension_numbers=_LAYOUT)


def kernel_gradient(
  x: jax.Array, cotangent: jax.Array, kernel: jax.Array, strides: Pair, padding: tuple[Pair, Pair]
) -> jax.Array:
  """The gradient of `strided_conv` in its second argument."""
  return jax.linear_transpose(lambda kernel: strided_conv.fun(x, kernel, strides, padding), kernel)(cotangent)[0]


def _strided_backward(strides, padding, residuals, cotangent):
  x, kernel = residuals
  return (
    transposed_conv(cotangent, kernel, strides, padding, x.shape[1:3]),
    kernel_gradient(x, cotangent, kernel, strides, padding),
  )


def _transposed_backward(strides, padding, size, residuals, cotangent):
  del size
  y, kernel = residuals
  return strided_conv(cotangent, kernel, strides, padding), kernel_gradient(cotangent, y, kernel, strides, padding)


strided_conv.defvjp(lambda x, kernel, *static: (strided_conv(x, kernel, *static), (x, kernel)), _strided_backward)
transposed_conv.defvjp(
  lambda y, kernel, *static: (transposed_conv(y, kernel, *static), (y, kernel)), _transposed_backward
)
