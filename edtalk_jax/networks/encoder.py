"""The appearance encoder: an image to a latent code and the feature maps that the generator warps."""

import flax.linen as nn
import jax

from edtalk_jax.config import ModelConfig
from edtalk_jax.networks.layers import EqualConv, ResBlock, enter, rematerialized


class Encoder(nn.Module):
  """Encodes source and drivers alike (EDTalk Sec. 3.1; official code, networks/encoder.py, `EncoderApp`).

  Attributes:
    config: sizes.
  """

  config: ModelConfig

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Maps images[batch, height, width, 3] in [-1, 1] to a code and features.

    Returns:
      The code, float32[batch, style_dim], and the feature maps from 8 pixels up to `image_size`,
      each [batch, resolution, resolution, channels(resolution)].

    Raises:
      ValueError: if the images are not of `image_size`.
    """
    config, size = self.config, self.config.image_size
    if images.ndim != 4 or images.shape[1:] != (size, size, 3):
      raise ValueError(f'images has shape {images.shape}, expected (batch, {size}, {size}, 3)')
    features = list(enter(self, images))
    x, size = features[-1], size // 2
    while size > 4:
      size //= 2
      x = rematerialized(ResBlock, config.remat)(config.channels(size), dtype=config.dtype, name=f'block_{size}')(x)
      features.append(x)
    # The code is small and moves every pixel: float32 whatever the convolutions are.
    code = EqualConv(config.style_dim, kernel_size=4, padding='VALID', activate=False, name='code')(x)
    # The 4 pixel map feeds the code alone.
    return code[:, 0, 0], tuple(features[-2::-1])
