"""VGG19 features for the perceptual loss."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from edtalk_jax import ops
from edtalk_jax.networks.layers import rematerialized

# Convolutions of each block, and its channels at width 1 (Simonyan and Zisserman, 2015, table 1, column E).
_BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
# ImageNet statistics of images in [0, 1], torchvision's order RGB.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class VGG19(nn.Module):
  """VGG19 up to relu5_1 (official code, train/vgg19.py). Parameters are `conv<block>_<index>/{kernel, bias}`.

  Attributes:
    width: multiplies all channels; only 1 fits torchvision's weights.
    dtype: of the convolutions.
    remat: as `ModelConfig.remat`; a block ends with one of the five feature maps.
  """

  width: float = 1.0
  dtype: Any = jnp.float32
  remat: str = 'none'

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, ...]:
    """Maps images[batch, height, width, 3] in [-1, 1] to relu1_1, relu2_1, relu3_1, relu4_1, relu5_1.

    Pixels beyond [-1, 1] are clamped, and so get no gradient from here.

    Raises:
      ValueError: if an image side is below 16 pixels: four poolings would leave nothing.
    """
    if min(images.shape[1:3]) < 16:
      raise ValueError(f'images has shape {images.shape}, VGG19 needs at least 16 x 16 pixels')
    x = jnp.clip(images.astype(jnp.float32), -1, 1) / 2 + 0.5
    x = (x - ops.expand_like(jnp.array(_MEAN), x)) / ops.expand_like(jnp.array(_STD), x)
    features = []
    for block in range(1, len(_BLOCKS) + 1):
      x = rematerialized(_block(block), self.remat)(self, x)
      features.append(x)
    return tuple(features)


def _block(block: int):
  """What lies between relu<block - 1>_1 and relu<block>_1; a function, so that its layers are children of the VGG19."""

  @nn.compact
  def apply(vgg: VGG19, x: jax.Array) -> jax.Array:
    def conv(block, index, x):
      layers, channels = _BLOCKS[block - 1]
      channels = max(1, round(channels * vgg.width))
      return _Conv(channels, vgg.dtype, pool=index == layers, name=f'conv{block}_{index}')(x)

    if block > 1:
      for index in range(2, _BLOCKS[block - 2][0] + 1):
        x = conv(block - 1, index, x)
    return conv(block, 1, x)

  return apply


class _Conv(nn.Module):
  """3 x 3 convolution with bias and ReLU; He initialisation (He et al., 2015) keeps random features at one scale.

  Attributes:
    features: output channels.
    dtype: of the convolution.
    pool: whether max-pooling follows. It is done before bias and ReLU, which grow with what they are given: the result
      is the same, and a quarter of the pixels is left for them.
  """

  features: int
  dtype: Any
  pool: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    kernel = self.param('kernel', nn.initializers.he_uniform(), (3, 3, x.shape[-1], self.features))
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    columns = ops.together(x, kernel.shape)
    if self.pool:
      columns = 2 if columns > 1 and x.shape[2] % 4 == 0 else 1
    x = ops.join_columns(x.astype(self.dtype), columns)
    x = (ops.conv_max_pool if self.pool else ops.conv)(x, kernel.astype(self.dtype), columns=columns)
    return ops.split_columns(ops.relu(ops.split_rows(x), bias), columns)


def pyramid_features(
  variables: Any, images: jax.Array, scales: tuple[float, ...], *, vgg: VGG19
) -> tuple[tuple[jax.Array, ...], ...]:
  """Returns for each scale the five feature maps of the images shrunk to it (FOMM's pyramid).

  The pyramid is built on the images as they are; the clamp comes after it. Targets do not change within a step:
  compute theirs once and use them for every loss.

  Args:
    variables: of `vgg`.
    images: [batch, height, width, 3] in [-1, 1].
    scales: among 1, 0.5, 0.25 and 0.125.
    vgg: the module.
  """
  return tuple(vgg.apply(variables, image) for image in ops.pyramid(images, scales))
