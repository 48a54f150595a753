"""Convolutions of StyleGAN2: plain, with FIR down- and upsampling, and modulated by a style."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from edtalk_jax.ops import activation, backend, lanes, resample, strided, tpu_forms
from edtalk_jax.ops.kernel_gradient import kernel_gradient

CONV = 'conv'  # names the results of convolutions for rematerialisation policies
_LAYOUT = ('NHWC', 'HWIO', 'NHWC')


def conv(x: jax.Array, kernel: jax.Array, padding: str = 'SAME', *, columns: int = 1) -> jax.Array:
  """Cross-correlation with stride 1.

  Args:
    x: [batch, height, width, in].
    kernel: [side, side, in, out] in the type of `x`.
    padding: 'SAME' (zeros) or 'VALID'.
    columns: how many lie side by side in `x`, and so in the result (`ops.lanes`); with sides 1 and 3, 'SAME', alone.

  Returns:
    [batch, height, width, out], smaller by side - 1 with 'VALID'.
  """
  if columns > 1:
    apart = lambda x, kernel: lanes.join_columns(conv(lanes.split_columns(x, columns), kernel), columns)
    wide = functools.partial(tpu_forms.conv_columns, columns=columns)
    y = backend.select(x, kernel, tpu=wide, default=apart)
  elif kernel.shape[:2] == (1, 1):
    y = x @ kernel[0, 0]
  elif padding == 'SAME' and kernel.shape[0] == kernel.shape[1] == 3:
    y = backend.select(x, kernel, cpu=same_conv_by_products, default=same_conv)
  else:
    y = jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=_LAYOUT)
  return checkpoint_name(y, CONV)


def same_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`conv` of a 3 x 3 kernel as XLA has it."""
  return jax.lax.conv_general_dilated(x, kernel, (1, 1), 'SAME', dimension_numbers=_LAYOUT)


@jax.custom_vjp
def same_conv_by_products(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`same_conv`, whose kernel gradient is made of matrix products."""
  return same_conv(x, kernel)


def _same_conv_backward(residuals, cotangent):
  x, kernel = residuals
  padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  gradient = same_conv_by_products(cotangent, kernel[::-1, ::-1].swapaxes(2, 3))
  return gradient, kernel_gradient(padded, cotangent, 3, 1)


same_conv_by_products.defvjp(lambda x, kernel: (same_conv(x, kernel), (x, kernel)), _same_conv_backward)


def conv_downsample(x: jax.Array, kernel: jax.Array, *, columns: int = 1) -> jax.Array:
  """Halves height and width: FIR blur, then a stride-2 convolution (official code, networks/encoder.py, ConvLayer).

  Forms of the same: on the CPU backend the blur is a few additions and the convolution matrix products; on TPUs see
  `ops.tpu_forms`; elsewhere the filter is folded into the kernel.

  Args:
    x: [batch, height, width, in] with even height and width.
    kernel: [side, side, in, out] of side 1 or 3, in the type of `x`.
    columns: how many lie side by side in `x` (`ops.lanes`), 1 or 2; in the result it is 1.

  Returns:
    [batch, height / 2, width / 2, out].

  Raises:
    ValueError: for an odd height or width, another side, or another number of columns.
  """
  lanes.check_pairs(columns)
  if columns == 2:
    apart = lambda x, kernel: conv_downsample(lanes.split_columns(x, 2), kernel)
    y = backend.select(x, kernel, tpu=tpu_forms.downsample_pairs, default=apart)
    return checkpoint_name(y, CONV)
  if x.shape[1] % 2 or x.shape[2] % 2:
    raise ValueError(f'height and width of x must be even to be halved, got {x.shape}')
  if kernel.shape[:2] not in ((1, 1), (3, 3)):
    raise ValueError(f'kernel must be 1 x 1 or 3 x 3, got {kernel.shape}')
  y = backend.select(x, kernel, cpu=downsample_separately, tpu=tpu_forms.downsample, default=downsample_folded)
  return checkpoint_name(y, CONV)


def downsample_separately(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`conv_downsample` as a blur and matrix products."""
  if kernel.shape[0] == 1:
    return resample.blur_decimate(x) @ kernel[0, 0]
  return strided.strided_conv(resample.blur(x, (2, 2)), kernel)


def downsample_folded(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`conv_downsample` as one strided convolution, whose kernel is three pixels wider for the filter in it."""
  pad = (kernel.shape[0] + 1) // 2
  folded = resample.blur_kernel(kernel).astype(kernel.dtype)
  return jax.lax.conv_general_dilated(x, folded, (2, 2), [(pad, pad)] * 2, dimension_numbers=_LAYOUT)


def conv_upsample(x: jax.Array, kernel: jax.Array, *, columns: int = 1) -> jax.Array:
  """Doubles height and width: transposed convolution with stride 2, then an FIR blur.

  A quarter of what the official code makes (networks/styledecoder.py, ModulatedConv2d), whose blur has gain 4: leaves
  that to what scales the result (`modulated_conv`). Forms of the same, as in `conv_downsample`.

  Args:
    x: [batch, height, width, in].
    kernel: [3, 3, in, out] in the type of `x`.
    columns: how many are to lie side by side in the result (`ops.lanes`), 1 or 2.

  Returns:
    [batch, 2 * height, 2 * width, out].

  Raises:
    ValueError: if the kernel is not 3 x 3, or for another number of columns.
  """
  lanes.check_pairs(columns)
  if kernel.shape[:2] != (3, 3):
    raise ValueError(f'kernel must be 3 x 3, got {kernel.shape}')
  if columns == 2:
    apart = lambda x, kernel: lanes.join_columns(conv_upsample(x, kernel), 2)
    y = backend.select(x, kernel, tpu=tpu_forms.upsample_pairs, default=apart)
    return checkpoint_name(y, CONV)
  y = backend.select(x, kernel, cpu=upsample_separately, tpu=tpu_forms.upsample, default=upsample_folded)
  return checkpoint_name(y, CONV)


def upsample_separately(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`conv_upsample` as matrix products, additions and a blur."""
  return resample.blur(strided.transposed_conv(x, kernel), (1, 1))


def upsample_folded(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`conv_upsample` as one ordinary 3 x 3 convolution to four times the channels, and a depth-to-space.

  Sample q of an axis of the result is sum_i x[i] K[q - 2 i] with K the kernel filtered by [1, 3, 3, 1] / 8, six taps
  wide. Even and odd q each see three of them; nothing is dilated, forwards or in either gradient.
  """
  batch, height, width, _ = x.shape
  _, _, channels, features = kernel.shape
  # K[m] = sum_t fir[t] w[m + t - 1] for m = -2..3. With q = 2 s + phase, tap m meets x[s - (m - phase) / 2]: the order
  # along each axis is reversed.
  folded = resample.blur_kernel(kernel).reshape(3, 2, 3, 2, channels, features)[::-1, :, ::-1]
  folded = folded.transpose(0, 2, 4, 1, 3, 5).reshape(3, 3, channels, 4 * features)
  y = same_conv(x, folded.astype(kernel.dtype)).reshape(batch, height, width, 2, 2, features)
  return y.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, features)


def modulated_conv(
  x: jax.Array,
  kernel: jax.Array,
  style: jax.Array,
  *,
  scale: float = 1.0,
  demodulate: bool = True,
  upsample: bool = False,
  columns: int = 1,
  dtype: Any = None,
) -> jax.Array:
  """Convolution whose input channels are scaled per sample by a style (StyleGAN2 Eqs. 1-3).

  The style is moved from the kernel to the activations, normalisation and scale to the outputs, so that all samples
  share one convolution. All are applied in float32: their gradients are sums over all pixels.

  Args:
    x: [batch, height, width, in].
    kernel: [side, side, in, out], cast to `dtype`.
    style: [batch, in], one scale per input channel.
    scale: of the kernel.
    demodulate: whether to undo the growth of the outputs' norm by the style.
    upsample: whether to double height and width, with a blur of gain 4 (`conv_upsample`).
    columns: how many lie side by side in the result and, without `upsample`, in `x` (`ops.lanes`).
    dtype: of the products and the result, `x`'s by default. What is multiplied is rounded as `x` is.

  Returns:
    [batch, height, width, out] or twice the height and width.

  Raises:
    ValueError: if `style` does not hold one scale per sample and input channel.
  """
  dtype = x.dtype if dtype is None else dtype
  y = _with_style(x, kernel, style, upsample, columns, dtype).astype(jnp.float32)
  if demodulate:
    norm = lanes.repeat(_demodulation(kernel, style, scale, upsample), y.shape[-1])[:, None, None]
  else:
    norm = scale * _gain(upsample)
  return (y * norm).astype(dtype)


def styled_conv(
  x: jax.Array,
  kernel: jax.Array,
  style: jax.Array,
  bias: jax.Array,
  *,
  scale: float = 1.0,
  upsample: bool = False,
  columns: int = 1,
) -> jax.Array:
  """`leaky_relu_scaled(modulated_conv(...), bias)`, rounded once and with the gradients of `leaky_relu_normalized`."""
  y = _with_style(x, kernel, style, upsample, columns, x.dtype)
  return activation.leaky_relu_normalized(y, _demodulation(kernel, style, scale, upsample), bias)


def _with_style(x, kernel, style, upsample, columns, dtype):
  if style.shape != (x.shape[0], kernel.shape[2]):
    raise ValueError(f'style must have shape {(x.shape[0], kernel.shape[2])}, got {style.shape}')
  style = lanes.repeat(style, x.shape[-1])
  styled = (x.astype(jnp.float32) * style[:, None, None]).astype(x.dtype).astype(dtype)
  return (conv_upsample if upsample else conv)(styled, kernel.astype(dtype), columns=columns)


def _gain(upsample):
  return 4.0 if upsample else 1.0  # of the blur


def _demodulation(kernel, style, scale, upsample):
  """float32[batch, out], by which the result is multiplied to undo the growth of its norm by the style."""
  # Adding up the taps one by one is ten times as fast on the CPU backend as a reduction over two leading axes.
  taps = jnp.square(kernel.astype(jnp.float32)).reshape(-1, *kernel.shape[2:])
  energy = functools.reduce(jnp.add, jnp.unstack(taps))
  variance = jnp.square(style.astype(jnp.float32)) @ energy
  return scale * _gain(upsample) * jax.lax.rsqrt(scale**2 * variance + 1e-8)
