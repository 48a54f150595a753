"""The discriminator: StyleGAN2's residual one, unconditional."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from edtalk_jax import ops
from edtalk_jax.config import ModelConfig
from edtalk_jax.networks.layers import EqualConv, EqualDense, ResBlock, enter, rematerialized


class Discriminator(nn.Module):
  """Scores images (official code, networks/discriminator.py; StyleGAN2 App. B).

  Attributes:
    config: sizes; `stddev_group` is the minibatch-stddev group.
  """

  config: ModelConfig

  @nn.compact
  def __call__(self, images: jax.Array, views: int = 1) -> jax.Array:
    """Maps images[batch * views, height, width, 3] in [-1, 1] to float32 logits[batch * views], high for real images.

    Statistics of the minibatch-stddev channel are over the global batch, in strided groups: with batch / group = M,
    samples m, m + M, m + 2M, ... share one. If each example has several views, side by side in `images`, the
    statistics are those of the batch in which all examples' first views come first, then all second views, and so on:
    the official order.

    Raises:
      ValueError: if the images are not of `image_size`.
    """
    config, size = self.config, self.config.image_size
    if images.ndim != 4 or images.shape[1:] != (size, size, 3):
      raise ValueError(f'images has shape {images.shape}, expected (batch, {size}, {size}, 3)')
    x, size = enter(self, images)[1], size // 2
    while size > 4:
      size //= 2
      x = rematerialized(ResBlock, config.remat)(config.channels(size), dtype=config.dtype, name=f'block_{size}')(x)
    x = ops.minibatch_stddev(x, config.stddev_group, views)
    self.sow('intermediates', 'stddev', x[:, 0, 0, -1])
    x = EqualConv(config.channels(4), dtype=config.dtype, name='conv_4')(x)
    x = x.astype(jnp.float32).reshape(len(x), -1)
    x = EqualDense(config.channels(4), activate=True, name='hidden')(x)
    return EqualDense(1, name='logit')(x)[:, 0]
