"""The one activation of encoder, generator and discriminator."""

import math

import jax
import jax.numpy as jnp

_SLOPE = 0.2
_GAIN = math.sqrt(2)


def leaky_relu_scaled(x: jax.Array, bias: jax.Array) -> jax.Array:
  """sqrt(2) * leaky_relu(x + bias, 0.2): unit variance in, about unit variance out (StyleGAN2's FusedLeakyReLU).

  Args:
    x: [..., channels].
    bias: float32[channels].

  Returns:
    Shape and type of `x`, rounded once. Computed in float32, so that the bias's gradient, a sum over all pixels of the
    batch, is not added up in bfloat16.
  """
  return (_GAIN * jax.nn.leaky_relu(x.astype(jnp.float32) + bias, _SLOPE)).astype(x.dtype)
