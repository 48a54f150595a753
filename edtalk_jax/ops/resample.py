"""FIR resampling: StyleGAN2's [1, 3, 3, 1] filter and FOMM's anti-aliased pyramid."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

TAPS = np.array([0.125, 0.375, 0.375, 0.125])  # the filter, exact in bfloat16


def _pad(x: jax.Array, axis: int, before: int, after: int) -> jax.Array:
  widths = [(0, 0)] * x.ndim
  widths[axis] = (before, after)
  return jnp.pad(x, widths)


def _slice(x: jax.Array, axis: int, start: int, size: int) -> jax.Array:
  return jax.lax.slice_in_dim(x, start, start + size, axis=axis)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def blur(x: jax.Array, pad: tuple[int, int]) -> jax.Array:
  """Correlates both image axes with [1, 3, 3, 1] / 8 after zero padding (official code, networks/encoder.py, Blur).

  Args:
    x: [batch, height, width, channels].
    pad: zeros before and after, on both axes; at most 3 each.

  Returns:
    [batch, height + sum(pad) - 3, width + sum(pad) - 3, channels].
  """
  for axis in (1, 2):
    x = _correlate(x, axis, pad)
  return x


def _correlate(x, axis, pad):
  x = _pad(x, axis, *pad)
  size = x.shape[axis] - 3
  outer = _slice(x, axis, 0, size) + _slice(x, axis, 3, size)
  inner = _slice(x, axis, 1, size) + _slice(x, axis, 2, size)
  return outer * 0.125 + inner * 0.375


def _blur_forward(x, pad):
  return blur(x, pad), None


def _blur_backward(pad, _, cotangent):
  # The filter is symmetric: its transpose is itself with the complementary padding. Autodiff's transpose, a sum of
  # eight padded copies, takes twice the time.
  return (blur(cotangent, (3 - pad[0], 3 - pad[1])),)


blur.defvjp(_blur_forward, _blur_backward)


def blur_kernel(kernel: jax.Array, *, rows: bool = True) -> jax.Array:
  """The kernel[side, side, in, out] of a convolution and a blur together: float32[side + 3, side + 3, in, out].

  Without `rows`, the blur is along rows alone, and [side, side + 3, in, out] the result.
  """
  kernel = kernel.astype(jnp.float32).transpose(2, 0, 1, 3)
  blurred = blur(kernel, (3, 3)) if rows else _correlate(kernel, 2, (3, 3))
  return blurred.transpose(1, 2, 0, 3)


def depthwise_blur(x: jax.Array, pad: tuple[int, int], *, stride: int = 1, columns: bool = True) -> jax.Array:
  """`blur(x, pad)` at every `stride`-th pixel as one convolution of each channel by itself.

  On a TPU half the time of `blur`, which is written for the CPU; rounded once.

  Args:
    x: [batch, height, width, channels].
    pad: zeros before and after, on both axes.
    stride: 1 or 2.
    columns: whether columns, and not only rows, are filtered, padded and strided.

  Returns:
    [batch, (height + sum(pad) - 4) // stride + 1, ..., channels] in the type of `x`.
  """
  taps = np.outer(TAPS, TAPS if columns else 1)
  return _depthwise(x, taps, (stride, stride if columns else 1), (pad, pad if columns else (0, 0)))


def separable_blur(x: jax.Array, pad: tuple[int, int]) -> jax.Array:
  """`blur(x, pad)` as two such convolutions, columns first: half of one with 16 taps, as the TPU's compiler fuses them.

  In that order, and where `x` is one array: of a sum, or rows first, it fuses nothing. Rounded twice.
  """
  columns = _depthwise(x, TAPS[None], (1, 1), ((0, 0), pad))
  return _depthwise(columns, TAPS[:, None], (1, 1), (pad, (0, 0)))


def _depthwise(x, taps, strides, padding):
  channels = x.shape[-1]
  kernel = jnp.broadcast_to(jnp.asarray(taps[:, :, None, None], x.dtype), (*taps.shape, 1, channels))
  return jax.lax.conv_general_dilated(
    x, kernel, strides, padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC'), feature_group_count=channels
  )


def blur_decimate(x: jax.Array) -> jax.Array:
  """`blur(x, (1, 1))` at every second pixel, computing only those.

  Args:
    x: [batch, height, width, channels] with even height and width.

  Returns:
    [batch, height / 2, width / 2, channels].
  """
  for axis in (1, 2):
    shape = (*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
    even, odd = jnp.unstack(x.reshape(shape), axis=axis + 1)
    before = _slice(_pad(odd, axis, 1, 0), axis, 0, odd.shape[axis])
    after = _slice(_pad(even, axis, 0, 1), axis, 1, even.shape[axis])
    x = (before + after) * 0.125 + (even + odd) * 0.375
  return x


def upsample(x: jax.Array) -> jax.Array:
  """Doubles height and width: zero-insertion and the [1, 3, 3, 1] filter with gain 4, in polyphase form.

  Official code, networks/styledecoder.py, Upsample. Every second sample is (previous + 3 * own) / 4, the others
  (3 * own + next) / 4; beyond the border lie zeros.

  Args:
    x: [batch, height, width, channels].

  Returns:
    [batch, 2 * height, 2 * width, channels].
  """
  for axis in (1, 2):
    size = x.shape[axis]
    padded = _pad(x, axis, 1, 1)
    even = 0.25 * _slice(padded, axis, 0, size) + 0.75 * x
    odd = 0.75 * x + 0.25 * _slice(padded, axis, 2, size)
    shape = (*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])
    x = jnp.stack([even, odd], axis + 1).reshape(shape)
  return x


def _antialias_matrix(size: int, factor: int) -> np.ndarray:
  """float32[size / factor, size]: the rows of the Gaussian low-pass that survive the stride."""
  sigma = (factor - 1) / 2
  radius = round(4 * sigma)
  taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
  offset = np.arange(size)[None] - factor * np.arange(-(-size // factor))[:, None] + radius
  inside = (offset >= 0) & (offset <= 2 * radius)
  return np.where(inside, (taps / taps.sum())[np.clip(offset, 0, 2 * radius)], 0).astype(np.float32)


def antialias_downsample(x: jax.Array, factor: int) -> jax.Array:
  """Gaussian low-pass with zero padding, then every `factor`-th pixel from index 0 (FOMM, AntiAliasInterpolation2d).

  Sigma is (factor - 1) / 2, the kernel 2 * round(4 * sigma) + 1 wide. Each axis is one product with a banded matrix:
  an image has too few channels for a convolution to be efficient.

  Args:
    x: [batch, height, width, channels].
    factor: 2, 4 or 8.

  Returns:
    float32[batch, ceil(height / factor), ceil(width / factor), channels].

  Raises:
    ValueError: for another factor.
  """
  if factor not in (2, 4, 8):
    raise ValueError(f'factor must be 2, 4 or 8, got {factor}')
  _, height, width, _ = x.shape
  rows, columns = _antialias_matrix(height, factor), _antialias_matrix(width, factor)
  x = jnp.einsum('oh,bhwc->bowc', rows, x.astype(jnp.float32), precision=jax.lax.Precision.HIGHEST)
  return jnp.einsum('pw,bowc->bopc', columns, x, precision=jax.lax.Precision.HIGHEST)


def pyramid(x: jax.Array, scales: Sequence[float]) -> tuple[jax.Array, ...]:
  """`x`[batch, height, width, channels] at each of `scales` (1, 0.5, 0.25 or 0.125); scale 1 is `x` itself.

  Each level is filtered from the full size: the truncated Gaussians of FOMM are not multiples of one another.
  """
  return tuple(x if scale == 1 else antialias_downsample(x, round(1 / scale)) for scale in scales)
