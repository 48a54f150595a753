"""The loss terms that stages share, as pure functions returning float32[batch].

Images carry a `views` axis, [batch, views, height, width, 3]: the several pictures of one example. Every term is the
mean over an example's views times their number where the official code adds losses of separate calls.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

Array = jax.Array


def to_unit_range(image: Array) -> Array:
  """uint8 images -> float32 in [-1, 1], the official transform (ToTensor, then Normalize(0.5, 0.5))."""
  image = image.astype(jnp.float32)
  # XLA divides by a constant by multiplying with its rounded inverse, which puts 255 just above 1, where VGG's clamp
  # stops the gradient. One Newton step rounds correctly; the barriers keep XLA from undoing it.
  quotient = jax.lax.optimization_barrier(image * (1 / 255))
  quotient = jax.lax.optimization_barrier(quotient - (quotient * 255 - image) * (1 / 255))
  return (quotient - 0.5) * 2


def merge_views(images: Array) -> Array:
  """[batch, views, ...] -> [batch * views, ...]; an example's views stay on its device."""
  return images.reshape(-1, *images.shape[2:])


def split_views(values: Array, views: int) -> Array:
  """[batch * views, ...] -> [batch, views, ...], the inverse of `merge_views`."""
  return values.reshape(-1, views, *values.shape[1:])


def l1(prediction: Array, target: Array, emphasis: Array | None = None) -> Array:
  """Mean absolute error per example, summed over views: [batch, views, height, width, 3] -> float32[batch].

  With `emphasis` [batch, views, height, width, 1], each pixel's error counts so many times.
  """
  error = jnp.abs(prediction.astype(jnp.float32) - target.astype(jnp.float32))
  if emphasis is not None:
    error *= emphasis
  return jnp.sum(jnp.mean(error, axis=(2, 3, 4)), axis=1)


def generator_adversarial(fake_logits: Array) -> Array:
  """Non-saturating logistic loss (Goodfellow et al., 2014): mean over views of softplus(-D(fake)).

  Takes float32[batch, views] and returns float32[batch].
  """
  return jnp.mean(jax.nn.softplus(-fake_logits), axis=1)


def discriminator_adversarial(real_logits: Array, fake_logits: Array) -> tuple[Array, Array]:
  """The discriminator's two logistic terms (on real, on fake images), float32[batch] each, means over views."""
  return jnp.mean(jax.nn.softplus(-real_logits), axis=1), jnp.mean(jax.nn.softplus(fake_logits), axis=1)


def space_distance(first: Array, second: Array) -> Array:
  """exp(-cos) of two motions in one space (EDTalk, mouth-pose decoupling), summed over views.

  The official code takes the cosine of the 512-dimensional motions Q a; as Q's columns are orthonormal, that is the
  cosine of the weights a, which needs no Q and sends no rounding noise into the banks.

  Args:
    first: float32[batch, views, size] bank weights.
    second: the same of the motion that should agree.

  Returns:
    float32[batch] in [views / e, views * e].
  """
  first, second = first.astype(jnp.float32), second.astype(jnp.float32)
  return jnp.sum(jnp.exp(-_cosine(first, second)), axis=1)


def correlation(first: Array, second: Array) -> Array:
  """How far `second` can be read from `first` linearly: mean over `first`'s weights of summed squared correlations.

  Zero if and only if the best linear prediction of `second` from `first` is its mean. (Ours.)

  Args:
    first: float32[batch, views, size] bank weights; correlations are taken over batch and views.
    second: float32[batch, views, other size]; no gradient goes there.

  Returns:
    float32[batch], the same number for each example.
  """
  one, other = _standardized(first), _standardized(jax.lax.stop_gradient(second))
  found = one.T @ other / len(one)
  return jnp.full(len(first), jnp.mean(jnp.sum(found**2, axis=1)))


def _standardized(weights: Array) -> Array:
  """[batch, views, size] -> float32[batch * views, size] of mean 0 and variance 1."""
  flat = merge_views(weights).astype(jnp.float32)
  flat -= jnp.mean(flat, axis=0, keepdims=True)
  return flat / jnp.sqrt(jnp.mean(flat**2, axis=0, keepdims=True) + 1e-8)


def _cosine(first: Array, second: Array) -> Array:
  product = jnp.sum(first * second, axis=-1)
  # The square root's gradient at zero is infinite; torch's cosine_similarity clamps at the same 1e-8.
  norms = jnp.sqrt(jnp.maximum(jnp.sum(first**2, axis=-1) * jnp.sum(second**2, axis=-1), 1e-16))
  return product / norms


def feature_l1(prediction: Array, target: Array) -> Array:
  """Mean absolute difference of feature vectors, summed over views: float32[batch, views, features] -> [batch]."""
  return jnp.sum(jnp.mean(jnp.abs(prediction - target), axis=-1), axis=1)


def feature_cosine(prediction: Array, target: Array) -> Array:
  """1 - cosine of feature vectors, summed over views: float32[batch, views, features] -> float32[batch] in [0, 2]."""
  return jnp.sum(1 - _cosine(prediction, target), axis=1)


def path_lengths(paint: Callable[[Array], Array], latents: Array, keys: Array) -> Array:
  """|J^T y|, J the Jacobian of the picture by its latent code, y noise of 1 / pixels variance (StyleGAN2 App. B).

  StyleGAN2 takes the root mean square over the codes of its layers; here all layers share one. What else the picture
  is painted from, the source's features, is held.

  Args:
    paint: latents -> pictures [batch, views, height, width, 3].
    latents: float32[batch, views, style_dim].
    keys: one random key an example, [batch].

  Returns:
    float32[batch, views].
  """
  images, pull = jax.vjp(paint, latents)
  noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:]))(keys) / math.sqrt(math.prod(images.shape[2:4]))
  (gradient,) = pull(noise.astype(images.dtype))
  # Flows that start at zero give no length, where the root's gradient is infinite.
  return jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(gradient), axis=-1), 1e-16))
