"""Convolutions of StyleGAN2: plain, with FIR down- and upsampling, and modulated by a style."""

import jax
import jax.numpy as jnp

from edtalk_jax.ops import resample

_LAYOUT = ('NHWC', 'HWIO', 'NHWC')


def conv(x: jax.Array, kernel: jax.Array, padding: str = 'SAME') -> jax.Array:
  """Cross-correlation with stride 1.

  Args:
    x: [batch, height, width, in].
    kernel: [side, side, in, out] in the type of `x`.
    padding: 'SAME' (zeros) or 'VALID'.

  Returns:
    [batch, height, width, out], smaller by side - 1 with 'VALID'.
  """
  return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=_LAYOUT)


def conv_downsample(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Halves height and width: FIR blur, then a stride-2 convolution (official code, networks/encoder.py, ConvLayer).

  Args:
    x: [batch, height, width, in] with even height and width.
    kernel: [side, side, in, out] of side 1 or 3, in the type of `x`.

  Returns:
    [batch, height / 2, width / 2, out].
  """
  pad = 2 + kernel.shape[0] - 1
  x = resample.blur(x, ((pad + 1) // 2, pad // 2))
  return jax.lax.conv_general_dilated(x, kernel, (2, 2), 'VALID', dimension_numbers=_LAYOUT)


def conv_upsample(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Doubles height and width: transposed convolution with stride 2, then an FIR blur of gain 4.

  Official code, networks/styledecoder.py, ModulatedConv2d. Sample q of an axis of the result is
  sum_i x[i] K[q - 2 i] with K the kernel filtered by [1, 3, 3, 1] / 4, six taps wide. Even and odd q each see three
  of them, so that the whole is one ordinary 3 x 3 convolution to four times the channels and a depth-to-space: no
  dilation, forwards or in either gradient.

  Args:
    x: [batch, height, width, in].
    kernel: [3, 3, in, out] in the type of `x`.

  Returns:
    [batch, 2 * height, 2 * width, out].
  """
  batch, height, width, _ = x.shape
  _, _, channels, features = kernel.shape
  # K[m] = sum_t fir[t] w[m + t - 1] for m = -2..3.
  folded = 4 * resample.blur(kernel.astype(jnp.float32).transpose(2, 0, 1, 3), (3, 3))
  # With q = 2 s + phase, tap m meets x[s - (m - phase) / 2]: the order along each axis is reversed.
  folded = folded.reshape(channels, 3, 2, 3, 2, features)[:, ::-1, :, ::-1]
  folded = folded.transpose(1, 3, 0, 2, 4, 5).reshape(3, 3, channels, 4 * features)
  y = conv(x, folded.astype(kernel.dtype)).reshape(batch, height, width, 2, 2, features)
  return y.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, features)


def modulated_conv(x: jax.Array, kernel: jax.Array, style: jax.Array, *, demodulate: bool = True,
                   upsample: bool = False) -> jax.Array:
  """Convolution whose input channels are scaled per sample by a style (StyleGAN2 Eqs. 1-3).

  The scale is moved from the kernel to the activations and the normalisation to the outputs, so that all samples
  share one convolution.

  Args:
    x: [batch, height, width, in].
    kernel: [side, side, in, out], equalised; cast to the type of `x`.
    style: [batch, in], one scale per input channel.
    demodulate: whether to undo the growth of the outputs' norm by the style.
    upsample: whether to double height and width (`conv_upsample`).

  Returns:
    [batch, height, width, out] or twice the height and width, in the type of `x`.

  Raises:
    ValueError: if `style` does not hold one scale per sample and input channel.
  """
  if style.shape != (x.shape[0], x.shape[-1]):
    raise ValueError(f'style must have shape {(x.shape[0], x.shape[-1])}, got {style.shape}')
  scaled = x * style[:, None, None].astype(x.dtype)
  y = (conv_upsample if upsample else conv)(scaled, kernel.astype(x.dtype))
  if not demodulate:
    return y
  energy = jnp.sum(jnp.square(kernel.astype(jnp.float32)), (0, 1))
  variance = jnp.square(style.astype(jnp.float32)) @ energy
  return y * jax.lax.rsqrt(variance + 1e-8)[:, None, None].astype(y.dtype)
