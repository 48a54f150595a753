"""The one activation of encoder, generator and discriminator."""

import math

import jax
import jax.numpy as jnp

from edtalk_jax.ops import pairs

_SLOPE = 0.2
_GAIN = math.sqrt(2)


def leaky_relu_scaled(x: jax.Array, bias: jax.Array, *, paired: bool = False) -> jax.Array:
  """sqrt(2) * leaky_relu(x + bias, 0.2): unit variance in, about unit variance out (StyleGAN2's FusedLeakyReLU).

  Args:
    x: [..., channels].
    bias: float32[channels].
    paired: whether `x` has its columns in pairs (`ops.pairs`).

  Returns:
    Shape and type of `x`, rounded once. Computed in float32, so that the bias's gradient, a sum over all pixels of the
    batch, is not added up in bfloat16.
  """
  bias = pairs.of_pairs(bias) if paired else bias
  return (_GAIN * jax.nn.leaky_relu(x.astype(jnp.float32) + bias, _SLOPE)).astype(x.dtype)
