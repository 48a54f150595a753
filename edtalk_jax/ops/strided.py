"""3 x 3 convolutions with stride 2, and their transposes, as matrix products.

XLA's CPU backend runs the kernel gradient of a strided or dilated convolution at a fraction of the speed of a matrix
product (docs/performance.md). Here nothing is dilated, forwards or in a gradient: a convolution gathers neighbourhoods
and multiplies them by a matrix, its transpose multiplies and adds up overlapping neighbourhoods; each is the other's
gradient.
"""

import jax
import jax.numpy as jnp

from edtalk_jax.ops.kernel_gradient import kernel_gradient, neighbourhoods


@jax.custom_vjp
def strided_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolution with stride 2, no padding.

  Args:
    x: [batch, 2 * height + 1, 2 * width + 1, in].
    kernel: [3, 3, in, out].

  Returns:
    [batch, height, width, out].
  """
  _, _, channels, features = kernel.shape
  # Without the barrier, XLA would repeat the gathering inside the matrix product.
  columns = jax.lax.optimization_barrier(neighbourhoods(x, 3, 2))
  return columns @ kernel.reshape(9 * channels, features)


@jax.custom_vjp
def transposed_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Transposed convolution with stride 2: x[i] adds x[i] * kernel to output pixels 2 i, 2 i + 1, 2 i + 2.

  Args:
    x: [batch, height, width, in].
    kernel: [3, 3, in, out].

  Returns:
    [batch, 2 * height + 1, 2 * width + 1, out].
  """
  _, _, channels, features = kernel.shape
  return _overlap_add(x @ kernel.transpose(2, 0, 1, 3).reshape(channels, 9 * features))


def _overlap_add(y: jax.Array) -> jax.Array:
  """Adds up overlapping 3 x 3 neighbourhoods, [batch, height, width, 9 * channels], at every second pixel.

  Computed per parity of the output's pixel: of nine taps, pixels that are even in both axes receive four, even in one
  axis two, and odd ones one.
  """
  batch, height, width, depth = y.shape
  y = y.reshape(batch, height, width, 3, 3, depth // 9)

  def tap(i, j):
    # Tap 2 of one pixel lands where tap 0 of the next one does.
    shift = lambda index: (1, 0) if index == 2 else (0, 1)
    return jnp.pad(y[:, :, :, i, j], ((0, 0), shift(i), shift(j), (0, 0)))

  even_row = jnp.stack([tap(0, 0) + tap(0, 2) + tap(2, 0) + tap(2, 2), tap(0, 1) + tap(2, 1)], axis=3)
  odd_row = jnp.stack([tap(1, 0) + tap(1, 2), tap(1, 1)], axis=3)
  full = jnp.stack([even_row, odd_row], axis=2).reshape(batch, 2 * height + 2, 2 * width + 2, depth // 9)
  return full[:, :-1, :-1]


def _strided_backward(residuals, cotangent):
  x, kernel = residuals
  return transposed_conv(cotangent, kernel.swapaxes(2, 3)), kernel_gradient(x, cotangent, 3, 2)


def _transposed_backward(residuals, cotangent):
  x, kernel = residuals
  return strided_conv(cotangent, kernel.swapaxes(2, 3)), kernel_gradient(cotangent, x, 3, 2).swapaxes(2, 3)


strided_conv.defvjp(lambda x, kernel: (strided_conv(x, kernel), (x, kernel)), _strided_backward)
transposed_conv.defvjp(lambda x, kernel: (transposed_conv(x, kernel), (x, kernel)), _transposed_backward)
