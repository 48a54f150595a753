"""3 x 3 convolutions with stride 2, and their transposes, as matrix products.

XLA's CPU backend runs the kernel gradient of a strided or dilated convolution at a fraction of the speed of a matrix
product (docs/performance.md). Here nothing is dilated: a convolution is `patches` times a matrix, its transpose is the
transposed matrix and then `overlap_add`; and the two rearrangements are each other's gradient.
"""

import jax
import jax.numpy as jnp


@jax.custom_vjp
def patches(x: jax.Array) -> jax.Array:
  """The 3 x 3 neighbourhoods at every second pixel.

  Args:
    x: [batch, 2 * height + 1, 2 * width + 1, channels].

  Returns:
    [batch, height, width, 9 * channels], row-major in the neighbourhood.
  """
  height, width = x.shape[1] // 2, x.shape[2] // 2
  taps = [x[:, i:i + 2 * height:2, j:j + 2 * width:2] for i in range(3) for j in range(3)]
  # Behind the barrier lies a matrix product, into which XLA would otherwise not fuse but repeat the copy.
  return jax.lax.optimization_barrier(jnp.concatenate(taps, axis=-1))


@jax.custom_vjp
def overlap_add(y: jax.Array) -> jax.Array:
  """Adds up overlapping 3 x 3 neighbourhoods, the transpose of `patches`.

  Computed per parity of the output's pixel: of nine taps, pixels that are even in both axes receive four, even in one
  axis two, and odd ones one.

  Args:
    y: [batch, height, width, 9 * channels].

  Returns:
    [batch, 2 * height + 1, 2 * width + 1, channels].
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


patches.defvjp(lambda x: (patches(x), None), lambda _, cotangent: (overlap_add(cotangent),))
overlap_add.defvjp(lambda y: (overlap_add(y), None), lambda _, cotangent: (patches(cotangent),))


# Recomputing the patches in the backward pass costs a copy; keeping them would cost 9/4 of the feature maps' memory.
@jax.checkpoint
def strided_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolution with stride 2, no padding.

  Args:
    x: [batch, 2 * height + 1, 2 * width + 1, in].
    kernel: [3, 3, in, out].

  Returns:
    [batch, height, width, out].
  """
  _, _, channels, features = kernel.shape
  return patches(x) @ kernel.reshape(9 * channels, features)


def transposed_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Transposed convolution with stride 2: x[i] adds x[i] * kernel to output pixels 2 i, 2 i + 1, 2 i + 2.

  Args:
    x: [batch, height, width, in].
    kernel: [3, 3, in, out].

  Returns:
    [batch, 2 * height + 1, 2 * width + 1, out].
  """
  _, _, channels, features = kernel.shape
  return overlap_add(x @ kernel.transpose(2, 0, 1, 3).reshape(channels, 9 * features))
