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
    batch, views = target.shape[:2]
    count = predictions.shape[1] // views
    wanted = self.features(params, jax.lax.stop_gradient(target))
    found = self.features(params, predictions)
    total = jnp.zeros((batch, count))
    weights = self.config.layer_weights * len(self.config.scales)
    for p, t, weight in zip(found, wanted, weights, strict=True):
      p = p.reshape(batch, count, views, *p.shape[1:]).astype(jnp.float32)
      error = jnp.abs(p - split_views(t, views)[:, None].astype(jnp.float32))
      total += weight * jnp.sum(jnp.mean(error, axis=tuple(range(3, error.ndim))), axis=2)
    return total
