"""Layers with an equalised learning rate, and the blocks that encoder and discriminator share.

Equalised learning rate (Karras et al., 2018, Sec. 4.1): a weight is stored as drawn from N(0, 1) and scaled by
1 / sqrt(fan in) in the forward pass. The scale is never folded into the stored weight, because Adam's step, which does
not depend on the size of the gradient, is relative to the stored weight. It multiplies a layer's result: a kernel's
gradient is then added to that of the next part of a batch as it is, and XLA adds up over devices once, behind the loop.

Leaf names are `kernel`, `bias` and `constant` only; sharding rules and optimiser masks match on them.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from edtalk_jax import ops

Dtype = Any
Move = Callable[[jax.Array], jax.Array]  # of maps of any number of channels, each by itself

# What a block keeps for its backward pass besides its inputs, by `ModelConfig.remat`; the rest is computed again.
_KEPT = {
  'convs': jax.checkpoint_policies.save_only_these_names(ops.CONV),
  'blocks': jax.checkpoint_policies.nothing_saveable,
}


def rematerialized(block: Callable[..., Any], remat: str) -> Callable[..., Any]:
  """Trades arithmetic for memory: a block that computes again, in its backward pass, what it does not keep.

  Args:
    block: a module class, or a function whose first argument is the module whose children it calls.
    remat: as `ModelConfig.remat`; 'none' leaves the choice of what is kept to the compiler.

  Returns:
    `block` with the same parameters and results.
  """
  return block if remat == 'none' else nn.remat(block, policy=_KEPT[remat])


def equalizer(kernel: jax.Array) -> float:
  """The scale of a stored kernel[..., in, out], 1 / sqrt(fan in)."""
  return 1 / math.sqrt(math.prod(kernel.shape[:-1]))


def rounded(params: Any, dtype: Dtype) -> Any:
  """Parameters of encoder or discriminator with their kernels in the `dtype` of the computation, as layers round them.

  For networks that are called several times in a step: the gradients of the calls are then added up before XLA adds
  them up over devices, and not each by itself. What is computed in float32 stays: products of vectors and the code.
  """
  once = lambda path, leaf: leaf.astype(dtype) if leaf.ndim == 4 and path[0].key != 'code' else leaf
  return jax.tree_util.tree_map_with_path(once, params)


class EqualDense(nn.Module):
  """Affine map with equalised learning rate, always in float32: latents are small, and errors in them move pixels.

  At highest precision, since accelerators would otherwise round the factors of a float32 product.

  Attributes:
    features: output width.
    bias_init: constant initial bias.
    kernel_init: standard deviation of the fresh kernel.
    activate: apply the scaled leaky ReLU, sqrt(2) * leaky_relu(. + bias, 0.2).
  """

  features: int
  bias_init: float = 0.0
  kernel_init: float = 1.0
  activate: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps x[..., in] to float32[..., features]."""
    kernel = self.param('kernel', nn.initializers.normal(self.kernel_init), (x.shape[-1], self.features))
    bias = self.param('bias', nn.initializers.constant(self.bias_init), (self.features,))
    x = jnp.matmul(x.astype(jnp.float32), kernel, precision=jax.lax.Precision.HIGHEST)
    scale = equalizer(kernel)
    return ops.leaky_relu_scaled(x, bias, scale=scale) if self.activate else x * scale + ops.expand_like(bias, x)


class EqualConv(nn.Module):
  """Convolution with equalised learning rate (official code: `ConvLayer` of networks/encoder.py).

  Attributes:
    features: output channels.
    kernel_size: side of the square kernel in pixels.
    downsample: blur with [1, 3, 3, 1] and take every second pixel.
    activate: add a bias and apply the scaled leaky ReLU; otherwise the layer is linear and has no bias.
    padding: 'SAME' or 'VALID'.
    gain: of the result.
    dtype: of the computation; parameters are float32.
  """

  features: int
  kernel_size: int = 3
  downsample: bool = False
  activate: bool = True
  padding: str = 'SAME'
  gain: float = 1.0
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, move: Move | None = None) -> jax.Array:
    """Maps x[batch, height, width, in] to [batch, height', width', features], halved if `downsample`.

    `move` is done to the result of the convolution, before the bias. Where it is linear, that of a 1 x 1 convolution is
    what the convolution would make of a moved `x`.
    """
    shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
    kernel = self.param('kernel', nn.initializers.normal(1.0), shape).astype(self.dtype)
    x, scale = x.astype(self.dtype), equalizer(kernel)
    if self.downsample:
      pairs = 2 if ops.narrow(x.shape[-1]) and x.shape[2] % 2 == 0 else 1
      x, columns = ops.conv_downsample(ops.join_columns(x, pairs), kernel, columns=pairs), 1
    else:
      columns = ops.together(x, shape) if self.padding == 'SAME' else 1
      x = ops.conv(ops.join_columns(x, columns), kernel, self.padding, columns=columns)
    x = ops.split_rows(x)
    if move is not None:
      x, columns = move(ops.split_columns(x, columns)), 1
    if self.activate:
      bias = self.param('bias', nn.initializers.zeros, (self.features,))
      x = ops.leaky_relu_scaled(x, bias, scale=scale, gain=self.gain)
    else:
      x = ops.scaled(x, scale * self.gain)
    return ops.split_columns(x, columns)


class ResBlock(nn.Module):
  """Residual block that halves the resolution (StyleGAN2's discriminator block).

  Attributes:
    features: output channels.
    dtype: of the computation.
  """

  features: int
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps x[batch, height, width, in] to [batch, height / 2, width / 2, features]."""
    y = EqualConv(x.shape[-1], dtype=self.dtype, name='conv_0')(x)
    # The gain keeps the variance of a sum of two independent terms at that of one.
    halve = functools.partial(EqualConv, self.features, downsample=True, gain=math.sqrt(0.5), dtype=self.dtype)
    return halve(name='conv_1')(y) + halve(kernel_size=1, activate=False, name='skip')(x)


def enter(network: nn.Module, images: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The stem of a network with a `config`, and its first residual block.

  Where `ops.first_block` pays, the block's result is that of a function and not of the module. It takes the module's
  parameters as they are. It makes the stem's map again, in a form of its own: the other costs only those who use it.

  Args:
    network: the encoder or the discriminator, whose children they are.
    images: [batch, size, size, 3].

  Returns:
    [batch, size, size, channels] of the stem and [batch, size / 2, size / 2, channels'] of the block.
  """
  config = network.config
  channels, half = config.channels(config.image_size), config.image_size // 2
  x = EqualConv(channels, kernel_size=1, dtype=config.dtype, name='stem')(images)
  name, features = f'block_{half}', config.channels(half)
  by_itself = network.is_initializing() or network.is_mutable_collection('intermediates')  # each layer is asked for
  if by_itself or not ops.first_block_pays(images, channels):
    return x, rematerialized(ResBlock, config.remat)(features, dtype=config.dtype, name=name)(x)
  params = network.variables['params']
  layers = {'stem': params['stem'], **params[name]}
  kernels = {name: layer['kernel'].astype(config.dtype) for name, layer in layers.items()}
  biases = {name: layer['bias'] for name, layer in layers.items() if 'bias' in layer}
  scales = {name: equalizer(kernel) for name, kernel in kernels.items()}
  block = lambda *args: ops.first_block(*args, scales)
  if config.remat != 'none':
    block = jax.checkpoint(block, policy=_KEPT[config.remat])
  return x, block(images, kernels, biases)
