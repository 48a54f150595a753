"""The activation of encoder, generator and discriminator, and that of VGG19."""

import functools
import math

import jax
import jax.numpy as jnp

from edtalk_jax.ops import lanes
from edtalk_jax.ops.rank import expand_like

_SLOPE = 0.2
_GAIN = math.sqrt(2)


def leaky_relu_scaled(x: jax.Array, bias: jax.Array, *, scale: float = 1.0, gain: float = 1.0) -> jax.Array:
  """gain * sqrt(2) * leaky_relu(scale * x + bias, 0.2), StyleGAN2's FusedLeakyReLU.

  With a gain of 1, what is made of unit variance has about unit variance.

  Args:
    x: [batch, ..., channels], or with columns side by side, which the number of biases tells (`ops.lanes`).
    bias: float32[channels].
    scale: of `x`, before the bias.
    gain: of the result.

  Returns:
    Shape and type of `x`, rounded once. Computed in float32, so that the bias's gradient, a sum over all pixels of the
    batch, is not added up in bfloat16.

  Raises:
    ValueError: if `x` does not hold whole columns.
  """
  return _activated(x, bias, scale, _SLOPE, _GAIN * gain)


def leaky_relu_normalized(x: jax.Array, norm: jax.Array, bias: jax.Array) -> jax.Array:
  """`leaky_relu_scaled(x * norm, bias)`, rounded once.

  Args:
    x: [batch, height, width, channels], or with columns side by side, as in `leaky_relu_scaled`.
    norm: float32[batch, channels], not zero.
    bias: float32[channels].
  """
  return _normalized(x, *(lanes.repeat(values, x.shape[-1]) for values in (norm, bias)))


def relu(x: jax.Array, bias: jax.Array) -> jax.Array:
  """relu(x + bias), with those arguments and the rounding of `leaky_relu_scaled`."""
  return _activated(x, bias, 1.0, 0.0, 1.0)


def scaled(x: jax.Array, scale: float) -> jax.Array:
  """scale * x, of any shape, in the type of `x`: rounded once, where a scale of that type would be rounded, too."""
  return (x.astype(jnp.float32) * scale).astype(x.dtype)


def slope(y: jax.Array) -> jax.Array:
  """float32, the shape of `y`: the derivative of sqrt(2) * leaky_relu(., 0.2) where that is `y`."""
  return jnp.where(y >= 0, _GAIN, _GAIN * _SLOPE)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _activated(x, bias, scale, negative, gain):
  bias = expand_like(lanes.repeat(bias, x.shape[-1]), x)
  return (gain * jax.nn.leaky_relu(x.astype(jnp.float32) * scale + bias, negative)).astype(x.dtype)


def _forward(x, bias, scale, negative, gain):
  # The result has the sign of what it was made of, and the next layer keeps it anyhow: nothing else is kept.
  y = _activated(x.value, bias.value, scale, negative, gain)
  return y, (y, len(bias.value), () if bias.perturbed else None)


def _backward(scale, negative, gain, residuals, cotangent):
  y, channels, trains = residuals
  if isinstance(cotangent, jax.custom_derivatives.SymbolicZero):
    return jnp.zeros(y.shape, y.dtype), jnp.zeros(channels)
  # Where layers train, it is read three times: by both gradients of the convolution before and for the bias. Without a
  # barrier XLA computes it again in each of them. Of frozen layers it is read once and is best left to be fused.
  kept = trains is not None
  # The next layer has as many columns side by side as fill the lanes: what is computed by itself is done to those.
  apart = lanes.parts(y.shape[-1], channels) if kept else 1
  y, cotangent = lanes.split_columns(y, apart), lanes.split_columns(cotangent, apart)
  active = y >= 0 if negative else y > 0
  gradient = cotangent.astype(jnp.float32) * jnp.where(active, gain, negative * gain)
  of_bias = jnp.sum(jnp.sum(gradient, tuple(range(y.ndim - 1))).reshape(-1, channels), 0)
  gradient = (gradient * scale).astype(y.dtype)
  return lanes.join_columns(jax.lax.optimization_barrier(gradient) if kept else gradient, apart), of_bias


_activated.defvjp(_forward, _backward, symbolic_zeros=True)


@jax.custom_vjp
def _normalized(x, norm, bias):
  return (_GAIN * jax.nn.leaky_relu(x.astype(jnp.float32) * norm[:, None, None] + expand_like(bias, x), _SLOPE)).astype(
    x.dtype
  )


def _normalized_forward(x, norm, bias):
  y = _normalized(x, norm, bias)
  return y, (y, norm, bias)


def _normalized_backward(residuals, cotangent):
  """The result also tells x * norm, and with it the gradient of `norm`: `x` is not kept."""
  y, norm, bias = residuals
  factor = slope(y)
  gradient = cotangent.astype(jnp.float32) * factor
  total = jnp.sum(gradient, (1, 2))
  of_norm = (jnp.sum(gradient * (y.astype(jnp.float32) / factor), (1, 2)) - total * bias[None]) / norm
  of_x = (gradient * norm[:, None, None]).astype(y.dtype)
  return jax.lax.optimization_barrier(of_x), of_norm, jnp.sum(total, 0)


_normalized.defvjp(_normalized_forward, _normalized_backward)
