"""The perceptual loss: VGG19 features of an image pyramid (Johnson et al., 2016; as in FOMM, Siarohin et al., 2019)."""

import jax
import jax.numpy as jnp

from edtalk_jax.config import PerceptualConfig, UserError
from edtalk_jax.networks import vgg
from edtalk_jax.stages.losses import merge_views, split_views
from edtalk_jax.stages.stage import Params

Array = jax.Array
SEED = 19  # of the random features that stand in for the weights file


class Perceptual:
  """Weighted distances between VGG features at several scales. Holds no arrays."""

  def __init__(self, config: PerceptualConfig, dtype: str, remat: str):
    self.config = config
    self.network = vgg.VGG19(width=config.width, dtype=dtype, remat=remat)

  def init(self) -> Params:
    """Reads the configured weights file, or draws seeded random features where none is given."""
    if self.config.weights:
      from edtalk_jax.weights.vgg import load_vgg19  # reads torch files; needed only with a weights file

      try:
        return load_vgg19(self.config.weights)['params']
      except ValueError as error:
        raise UserError(f'perceptual.weights: {error}') from None
    return jax.jit(self.network.init)(jax.random.key(SEED), jnp.zeros((1, 32, 32, 3)))['params']

  def features(self, params: Params, images: Array) -> list[Array]:
    """Maps images [batch, views, height, width, 3] to the five maps of every scale, [batch * views, ...] each.

    The pyramid is built on the images as they are; VGG19 clamps to [-1, 1], with no gradient outside.
    """
    scales = vgg.pyramid_features({'params': params}, merge_views(images), self.config.scales, vgg=self.network)
    return [feature for maps in scales for feature in maps]

  def distances(self, params: Params, predictions: Array, target: Array) -> Array:
    """Returns the distance of several predictions of the same pictures, each summed over its views.

    The target's features are computed once for all predictions.

    Args:
      params: of VGG19.
      predictions: [batch, n * views, height, width, 3], one prediction of all views after the other.
      target: [batch, views, height, width, 3]; no gradient flows into it.

    Returns:
      float32[batch, n].
    """
    views = target.shape[1]
    wanted = self.features(params, jax.lax.stop_gradient(target))
    weights = self.config.layer_weights * len(self.config.scales)

    def distance(prediction):
      total = jnp.zeros(prediction.shape[0] * views)
      for p, t, weight in zip(self.features(params, prediction), wanted, weights, strict=True):
        total += weight * jnp.mean(jnp.abs(p.astype(jnp.float32) - t.astype(jnp.float32)), axis=(1, 2, 3))
      return jnp.sum(split_views(total, views), axis=1)

    # One after the other: of both together, the target's maps would be spread over views that lie side by side.
    return jnp.stack([distance(p) for p in jnp.split(predictions, predictions.shape[1] // views, axis=1)], axis=1)
