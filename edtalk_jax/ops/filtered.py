"""A blur and then a 3 x 3 convolution with stride 2, and the transpose of both, for TPUs.

Each is the other's gradient, at any order, so that both directions of both have the form that was found to be the
cheapest (docs/performance.md): products with banded matrices where maps are narrow, else filters of each channel.
"""

import jax

from edtalk_jax.ops import bands, phases, resample

_STRIDES = (2, 2)
_NONE = ((0, 0), (0, 0))  # padding


@jax.custom_vjp
def strided_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Blurs and convolves x[batch, 2 * height, 2 * width, in] with kernel[3, 3, in, out]: [batch, height, width, out]."""
  return phases.strided_conv(_blur(x), kernel, _STRIDES, _NONE)


@jax.custom_vjp
def transposed_conv(y: jax.Array, kernel: jax.Array) -> jax.Array:
  """The transpose of `strided_conv` in its first argument: y[batch, height, width, out] -> an array like that."""
  size = 2 * y.shape[1] + 1, 2 * y.shape[2] + 1
  parts = phases.transposed_parts(y, kernel, _STRIDES, _NONE, size)
  if size[1] - 1 <= bands.WIDEST:
    return bands.blur_interleaved(parts)
  return resample.depthwise_blur(phases.interleave(parts, _STRIDES, size), (1, 1))


def _blur(x):
  return bands.blur(x, (2, 2)) if x.shape[2] <= bands.WIDEST else resample.separable_blur(x, (2, 2))


def _strided_forward(x, kernel):
  blurred = _blur(x)
  return phases.strided_conv(blurred, kernel, _STRIDES, _NONE), (blurred, kernel)


def _strided_backward(residuals, cotangent):
  blurred, kernel = residuals
  return transposed_conv(cotangent, kernel), phases.kernel_gradient(blurred, cotangent, kernel, _STRIDES, _NONE)


def _transposed_backward(residuals, cotangent):
  y, kernel = residuals
  blurred = _blur(cotangent)
  return (
    phases.strided_conv(blurred, kernel, _STRIDES, _NONE),
    phases.kernel_gradient(blurred, y, kernel, _STRIDES, _NONE),
  )


strided_conv.defvjp(_strided_forward, _strided_backward)
transposed_conv.defvjp(lambda y, kernel: (transposed_conv(y, kernel), (y, kernel)), _transposed_backward)
