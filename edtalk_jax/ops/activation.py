"""The one activation of encoder, generator and discriminator."""

import math

import jax

_SLOPE = 0.2
_GAIN = math.sqrt(2)


def leaky_relu_scaled(x: jax.Array, bias: jax.Array) -> jax.Array:
  """sqrt(2) * leaky_relu(x + bias, 0.2): unit variance in, about unit variance out (StyleGAN2's FusedLeakyReLU).

  Args:
    x: [..., channels].
    bias: [channels], cast to the type of `x`.

  Returns:
    Shape and type of `x`.
  """
  return _GAIN * jax.nn.leaky_relu(x + bias.astype(x.dtype), _SLOPE)
