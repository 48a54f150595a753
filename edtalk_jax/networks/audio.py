"""Mel windows to mouth weights, by Wav2Lip's audio encoder (Prajwal et al., 2020; official code, `Audio2Lip`).

BatchNorm keeps its running statistics in the collection 'batch_stats', and every call says by `train` which statistics
it takes. With `train=False` nothing changes, whoever calls: frozen means frozen. (The official trainer freezes this
encoder's weights, but leaves its statistics moving.)
"""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from edtalk_jax import ops

MOMENTUM = 0.1  # of a batch in the running statistics, PyTorch's default
MEL_BANDS, MEL_COLUMNS = 80, 16


class Layer(NamedTuple):
  """One `ConvBlock`: channels at width 1, side of the kernel, stride, zeros around the map, whether it is residual."""

  channels: int
  side: int = 3
  stride: int | tuple[int, int] = 1
  padding: int = 1
  residual: bool = False


def same(channels: int, count: int) -> tuple[Layer, ...]:
  """Returns `count` residual layers."""
  return (Layer(channels, residual=True),) * count


ENCODER = (
  Layer(32),
  *same(32, 2),
  Layer(64, stride=(3, 1)),
  *same(64, 2),
  Layer(128, stride=3),
  *same(128, 2),
  Layer(256, stride=(3, 2)),
  *same(256, 1),
  Layer(512, padding=0),
  Layer(512, side=1, padding=0),
)


class BatchNorm(nn.Module):
  """Batch normalisation with PyTorch's running statistics, which hold the unbiased variance (Flax's the biased)."""

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps x[batch, height, width, channels] to float32 of its shape.

    Args:
      x: what is normalised.
      train: take the batch's own statistics, over all devices, and move the running ones if the caller made
        'batch_stats' mutable; otherwise take the running ones.
    """
    size = x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, size)
    bias = self.param('bias', nn.initializers.zeros, size)
    scale, bias = ops.expand_like(scale, x), ops.expand_like(bias, x)
    running = {
      'mean': self.variable('batch_stats', 'mean', jnp.zeros, size),
      'variance': self.variable('batch_stats', 'variance', jnp.ones, size),
    }
    if not train:
      return ops.batch_norm(x, running['mean'].value, running['variance'].value) * scale + bias
    mean, variance = ops.batch_statistics(x)
    if self.is_mutable_collection('batch_stats') and not self.is_initializing():
      count = x.size // x.shape[-1]
      for name, new in (('mean', mean), ('variance', variance * (count / max(1, count - 1)))):
        running[name].value += MOMENTUM * (jax.lax.stop_gradient(new) - running[name].value)
    return ops.batch_norm(x, mean, variance) * scale + bias


class ConvBlock(nn.Module):
  """Convolution, BatchNorm, perhaps the input added, ReLU (`Conv2d` of Wav2Lip).

  Attributes:
    layer: sizes.
    width: multiplies its channels.
  """

  layer: Layer
  width: float = 1.0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps x[batch, height, width, in] to float32[batch, height', width', channels]."""
    layer, features = self.layer, max(1, round(self.layer.channels * self.width))
    kernel = self.param('kernel', nn.initializers.he_uniform(), (layer.side, layer.side, x.shape[-1], features))
    bias = self.param('bias', nn.initializers.zeros, (features,))
    strides = (layer.stride,) * 2 if isinstance(layer.stride, int) else layer.stride
    y = jax.lax.conv_general_dilated(
      x, kernel, strides, [(layer.padding,) * 2] * 2, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    y = BatchNorm(name='norm')(y + ops.expand_like(bias, y), train=train)
    return nn.relu(y + x if layer.residual else y)


class ConvStack(nn.Module):
  """`ConvBlock`s down to one pixel.

  Attributes:
    layers: the blocks, named block_0, block_1, ...
    width: multiplies all channels.
  """

  layers: tuple[Layer, ...]
  width: float = 1.0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps x[batch, height, width, in] to float32[batch, features], none of them negative."""
    for index, layer in enumerate(self.layers):
      x = ConvBlock(layer, self.width, name=f'block_{index}')(x, train=train)
    return x.reshape(len(x), -1)


class AudioToMouth(nn.Module):
  """Every video frame's mouth from the 200 ms of sound around it; frames know nothing of one another.

  Attributes:
    features: size of the mouth bank.
    width: multiplies the encoder's channels.
  """

  features: int = 20
  width: float = 1.0

  def setup(self):
    """Names the parts, which are also parameter paths."""
    self.encoder = ConvStack(ENCODER, self.width)
    self.mapping = nn.Dense(self.features, kernel_init=nn.initializers.he_uniform())

  def encode(self, mel: jax.Array, *, train: bool = False) -> jax.Array:
    """Maps mel windows [..., 80, 16] in [-4, 4] to features, float32[..., 512 * width].

    Raises:
      ValueError: on windows of another shape.
    """
    if mel.shape[-2:] != (MEL_BANDS, MEL_COLUMNS):
      raise ValueError(f'mel has shape {mel.shape}, expected [..., {MEL_BANDS}, {MEL_COLUMNS}]')
    windows = mel.reshape(-1, MEL_BANDS, MEL_COLUMNS, 1)
    return self.encoder(windows, train=train).reshape(*mel.shape[:-2], -1)

  def __call__(self, mel: jax.Array, *, train: bool = False) -> jax.Array:
    """Maps mel windows [..., 80, 16] to weights of the mouth bank, float32[..., features]."""
    return self.mapping(self.encode(mel, train=train))


def draw(network: nn.Module, key: jax.Array, *inputs: jax.Array) -> dict[str, Any]:
  """Returns fresh variables of a network of `ConvStack`s, {'params', 'batch_stats'}: what its `init` would draw.

  All kernels are cut from one draw. XLA compiles a program of its own for every shape that is drawn, which for dozens
  of kernels takes longer than anything else at the start of a run.
  """
  flat = traverse_util.flatten_dict(jax.eval_shape(network.init, key, *inputs), sep='/')
  kernels = {path: leaf for path, leaf in flat.items() if path.endswith('/kernel')}
  numbers = jax.random.uniform(key, (sum(leaf.size for leaf in kernels.values()),), minval=-1.0)
  drawn, first = {}, 0
  for path, leaf in flat.items():
    if path in kernels:
      bound = math.sqrt(6 / math.prod(leaf.shape[:-1]))  # He et al., 2015
      drawn[path] = bound * numbers[first : first + leaf.size].reshape(leaf.shape)
      first += leaf.size
    else:
      drawn[path] = jnp.full(leaf.shape, 1.0 if path.endswith(('/scale', '/variance')) else 0.0, leaf.dtype)
  return traverse_util.unflatten_dict(drawn, sep='/')


def smooth(weights: jax.Array) -> jax.Array:
  """Smooths weights[frames, size] in time by a Gaussian of one frame over three (official code, `conv_feat`).

  The official code takes weights before the first and after the last frame as zero, which draws both ends to 73 % of a
  steady mouth.
  """
  beside, centre = jnp.exp(-0.5), 1.0
  padded = jnp.pad(weights, ((1, 1), (0, 0)))
  return (beside * (padded[:-2] + padded[2:]) + centre * weights) / (2 * beside + centre)
