"""What `model.Model` computes, as pure functions of parameters and arrays, each compiled once for a shape."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from edtalk_jax.config import ModelConfig
from edtalk_jax.networks.audio import ENCODER, AudioToMouth
from edtalk_jax.networks.edtalk import EDTalk
from edtalk_jax.networks.navigation import directions
from edtalk_jax.stages.losses import to_unit_range

Array = jax.Array
Params = Mapping[str, Any]
Weights = Mapping[str, Array]  # bank name -> float32[batch, size]


@functools.partial(jax.jit, static_argnums=0)
def basis(config: ModelConfig, params: Params) -> Array:
  """Returns the orthonormal vectors of all banks, float32[style_dim, sum of sizes]: one QR, for all that follows."""
  return EDTalk(config).apply({'params': params}, method='basis')


@functools.partial(jax.jit, static_argnums=0)
def encode(config: ModelConfig, params: Params, images: Array) -> tuple[Array, tuple[Array, ...], Weights]:
  """Maps images[batch, size, size, 3], uint8 or float in [-1, 1], to code, feature maps (8 px first) and weights."""
  code, features = EDTalk(config).apply({'params': params}, _signal(images), method='encode')
  return code, features, EDTalk(config).apply({'params': params}, code, method='motion')


@functools.partial(jax.jit, static_argnums=0)
def motion(config: ModelConfig, params: Params, images: Array) -> Weights:
  """Maps images, as `encode`, to the weights of all banks."""
  return encode(config, params, images)[2]


@jax.jit
def hear(variables: Params, windows: Array) -> Array:
  """Maps mel windows float32[batch, 80, 16] to weights of the mouth bank, by the variables of an `AudioToMouth`."""
  features, size = variables['params']['mapping']['kernel'].shape
  return AudioToMouth(size, width=features / ENCODER[-1].channels).apply(variables, windows)


@functools.partial(jax.jit, static_argnums=0)
def repaint(config: ModelConfig, params: Params, basis: Array, images: Array, weights: Weights) -> Array:
  """Paints each image in other motion, banks left out in its own; returns as `generate`."""
  code, features, own = encode(config, params, images)
  return generate(config, params, basis, code, features, {**own, **weights})


@functools.partial(jax.jit, static_argnums=0)
def generate(
  config: ModelConfig, params: Params, basis: Array, code: Array, features: tuple[Array, ...], weights: Weights
) -> Array:
  """Paints one portrait (batch 1) or one for each frame, from `encode`, in the motion of all banks' weights.

  Returns uint8[batch, size, size, 3].
  """
  shifts = directions(weights, basis, config)
  latent = code + sum(shifts.values())
  features = tuple(jnp.broadcast_to(f, (len(latent), *f.shape[1:])) for f in features)
  expression = shifts['expression'] if config.expression_module else None
  images = EDTalk(config).apply({'params': params}, latent, features, expression, method='decode')
  return jnp.clip(jnp.round((images + 1) * 127.5), 0, 255).astype(jnp.uint8)


def _signal(images: Array) -> Array:
  return to_unit_range(images) if images.dtype == jnp.uint8 else images
