"""The networks of a GAN stage, applied to batches with views.

A batch holds several pictures of each example, [batch, views, ...]. Networks see [batch * views, ...] with an example's
views side by side, so that on a mesh the networks themselves move nothing between devices but the discriminator's
4-pixel statistics.
"""

from typing import Any

import jax
import jax.numpy as jnp

from edtalk_jax import ops
from edtalk_jax.config import Config
from edtalk_jax.networks import navigation
from edtalk_jax.networks.discriminator import Discriminator
from edtalk_jax.networks.edtalk import EDTalk
from edtalk_jax.networks.layers import rounded
from edtalk_jax.stages import losses
from edtalk_jax.stages.losses import merge_views, split_views
from edtalk_jax.stages.perceptual import Perceptual
from edtalk_jax.stages.stage import Images, Params, Terms

Array = jax.Array


class Networks:
  """Encoder, navigation, generator, discriminator and VGG of one configuration. Holds no arrays."""

  def __init__(self, config: Config):
    self.config = config
    self.model = EDTalk(config.model)
    self.discriminator = Discriminator(config.model)
    self.adversarial = bool(config.loss.adversarial)  # without that term there is no discriminator
    self.perceptual = Perceptual(config.perceptual, config.model.dtype, config.model.remat)

  def init(self, key: Array) -> dict:
    """Fresh parameters: {'model': encoder, navigation and generator, 'discriminator': ..., {} without one}."""
    model_key, discriminator_key = jax.random.split(key)
    size = self.config.model.image_size
    image = jnp.zeros((1, size, size, 3))
    return {
      'model': self.model.init(model_key, image, image)['params'],
      'discriminator': self.discriminator.init(discriminator_key, image)['params'] if self.adversarial else {},
    }

  def judging(self, *views: int) -> dict[str, Any]:
    """The fields of `Stage` that say how its discriminator judges so many pictures of each example in each call."""
    if not self.adversarial:
      return {}
    return {'discriminator_losses': self.discriminator_losses, 'judged_views': views, 'logits': self.logits}

  def painting_terms(
    self, discriminator: Params, perceptual: Params, fake: Array, real: Array, emphasis: Array | None = None
  ) -> Terms:
    """L1, perceptual and adversarial terms of pictures `fake` that should be `real`; those of weight 0 are left out.

    Args:
      discriminator, perceptual: parameters.
      fake, real: [batch, views, height, width, 3].
      emphasis: see `losses.l1`.
    """
    weight, terms = self.config.loss, {}
    if weight.l1:
      terms['l1'] = weight.l1 * losses.l1(fake, real, emphasis)
    if weight.perceptual:
      terms['perceptual'] = weight.perceptual * self.perceptual.distances(perceptual, fake, real)[:, 0]
    if weight.adversarial:
      terms['adversarial'] = weight.adversarial * losses.generator_adversarial(self.logits(discriminator, fake))
    return terms

  def encode(self, model: Params, images: Array) -> tuple[Array, list[Array]]:
    """Maps [batch, views, height, width, 3] to codes [batch, views, style_dim] and feature maps [batch, views, ...]."""
    views = images.shape[1]
    codes, features = self.model.apply({'params': model}, merge_views(images), method='encode')
    return split_views(codes, views), [split_views(f, views) for f in features]

  def codes(self, model: Params, images: Array) -> Array:
    """The codes of `encode` alone, of two halves of the views if that makes calls that TPUs are quicker with."""
    halves = jnp.split(images, 2, axis=1) if images.shape[1] % 2 == 0 else [images]
    if ops.free(merge_views(images)) or not ops.free(merge_views(halves[0])):
      halves = [images]
    return jnp.concatenate([self.encode(model, half)[0] for half in halves], axis=1)

  def with_rounded_encoder(self, model: Params) -> Params:
    """Returns `model` for several calls of `encode`, whose gradients are added up before they cross devices."""
    return {**model, 'encoder': rounded(model['encoder'], self.config.model.dtype)}

  def motion(self, model: Params, codes: Array) -> dict[str, Array]:
    """Maps codes [..., style_dim] to the weights of every bank, [..., size]."""
    return self.model.apply({'params': model}, codes, method='motion')

  def basis(self, model: Params) -> Array:
    """Returns the orthonormal basis of all banks: one QR. Call it once per step."""
    return self.model.apply({'params': model}, method='basis')

  def direction(self, basis: Array, weights: dict[str, Array]) -> Array:
    """Maps bank weights [..., size] to the shift of the latent code, [..., style_dim]."""
    return navigation.direction(weights, basis, self.config.model)

  def directions(self, basis: Array, weights: dict[str, Array]) -> dict[str, Array]:
    """Maps bank weights [..., size] to each bank's part of that shift."""
    return navigation.directions(weights, basis, self.config.model)

  def decode(self, model: Params, latent: Array, features: list[Array], expression: Array | None = None) -> Array:
    """Maps latents [batch, views, style_dim] and source features [batch, sources, ...] to images.

    View j is of source j mod `sources`: with two of them and four views, a, b, a, b.

    Of models with an EEM, `expression` is the expression bank's part of the shift, [batch, views, style_dim].
    """
    views, sources = latent.shape[1], features[0].shape[1]
    by_source = lambda x: merge_views(_transpose_views(x, sources))
    expression = None if expression is None else by_source(expression)
    images = self.model.apply(
      {'params': model}, by_source(latent), [merge_views(f) for f in features], expression, method='decode'
    )
    return _transpose_views(split_views(images, views), views // sources)

  def logits(self, discriminator: Params, images: Array) -> Array:
    """Maps [batch, views, height, width, 3] to logits [batch, views].

    The minibatch statistics are those of the official order, in which the batch of one view follows that of another.
    """
    views = images.shape[1]
    logits = self.discriminator.apply({'params': discriminator}, merge_views(images), views=views)
    return split_views(logits, views)

  def discriminator_losses(self, discriminator: Params, images: Images) -> Terms:
    """The two logistic terms on `images['real']` and `images['fake']`, each scored as a batch of its own."""
    discriminator = rounded(discriminator, self.config.model.dtype)
    real, fake = losses.discriminator_adversarial(
      self.logits(discriminator, images['real']), self.logits(discriminator, images['fake'])
    )
    return {'discriminator_real': real, 'discriminator_fake': fake}


def _transpose_views(x: Array, inner: int) -> Array:
  """Reorders the views of x[batch, outer * inner, ...] to [batch, inner * outer, ...]."""
  return x.reshape(len(x), -1, inner, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)
