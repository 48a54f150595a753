"""The kernel gradient of a convolution as matrix products over bands of rows, for the CPU backend.

dK[i, j] = sum over pixels p of x[stride * p + (i, j)]^T dy[p] is one matrix product of all neighbourhoods with all
cotangents. Written out, the neighbourhoods are nine times the feature maps, and reading them from memory costs more
than the arithmetic; band by band they stay in the cache. XLA's own kernel gradient, a convolution whose kernel is
as large as the image, takes twice the time (docs/performance.md).
"""

import jax
import jax.numpy as jnp

# Neighbourhoods of one band, in numbers: 4.7 MB of float32.
BAND_SIZE = 8 * 256 * 9 * 64
# Below as many multiplications, the loop is not worth it.
LOOP_WORK = 1 << 28


def kernel_gradient(
  x: jax.Array,
  cotangent: jax.Array,
  side: int,
  stride: int,
  *,
  band_size: int = BAND_SIZE,
  loop_work: int = LOOP_WORK,
) -> jax.Array:
  """The gradient of a convolution without padding with respect to its kernel.

  Args:
    x: the convolution's input, [batch, (height - 1) * stride + side, (width - 1) * stride + side, in].
    cotangent: of the convolution's output, [batch, height, width, out].
    side: of the kernel.
    stride: of the convolution.
    band_size: largest number of numbers in the neighbourhoods of one band.
    loop_work: number of multiplications below which there is a single band.

  Returns:
    [side, side, in, out] in the type of `x`.
  """
  batch, height, width, features = cotangent.shape
  channels = x.shape[-1]
  if cotangent.size * side**2 * channels < loop_work:
    return _as_kernel(_band_product(x, cotangent, side, stride), side).astype(x.dtype)
  rows = _divisor(height, band_size // (width * side**2 * channels))
  bands = height // rows

  def add_band(total, index):
    image, row = index // bands, index % bands * rows
    window = jax.lax.dynamic_slice(
      x, (image, row * stride, 0, 0), (1, (rows - 1) * stride + side, x.shape[2], channels)
    )
    part = jax.lax.dynamic_slice(cotangent, (image, row, 0, 0), (1, rows, width, features))
    return total + _band_product(window, part, side, stride), None

  start = jnp.zeros((features, side**2 * channels), jnp.float32)
  total, _ = jax.lax.scan(add_band, start, jnp.arange(batch * bands))
  return _as_kernel(total, side).astype(x.dtype)


def _band_product(x: jax.Array, cotangent: jax.Array, side: int, stride: int) -> jax.Array:
  """The gradient as one matrix product, float32[out, side**2 * in]."""
  channels, features = x.shape[-1], cotangent.shape[-1]
  columns = neighbourhoods(x, side, stride).reshape(-1, side**2 * channels)
  # The wide factor on the right: the product then runs at nearly the speed of a square one.
  return jnp.matmul(cotangent.reshape(-1, features).T, columns, preferred_element_type=jnp.float32)


def _as_kernel(product: jax.Array, side: int) -> jax.Array:
  """[out, side**2 * in] -> [side, side, in, out]."""
  return product.reshape(len(product), side, side, -1).transpose(1, 2, 3, 0)


def neighbourhoods(x: jax.Array, side: int, stride: int) -> jax.Array:
  """The windows of x[batch, rows, columns, channels] that fit, row-major: [batch, ..., ..., side**2 * channels]."""
  height = (x.shape[1] - side) // stride + 1
  width = (x.shape[2] - side) // stride + 1
  return jnp.concatenate(
    [
      x[:, i : i + (height - 1) * stride + 1 : stride, j : j + (width - 1) * stride + 1 : stride]
      for i in range(side)
      for j in range(side)
    ],
    axis=-1,
  )


def _divisor(number: int, limit: int) -> int:
  """The largest divisor of `number` that does not exceed `limit`; at least 1."""
  return next(d for d in range(max(1, min(number, limit)), 0, -1) if number % d == 0)
