"""Layers with an equalised learning rate, and the blocks that encoder and discriminator share.

Equalised learning rate (Karras et al., 2018, Sec. 4.1): a weight is stored as drawn from N(0, 1) and scaled by
1 / sqrt(fan in) in the forward pass. The scale is never folded into the stored weight, because Adam's step, which does
not depend on the size of the gradient, is relative to the stored weight.

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


def equalized(kernel: jax.Array) -> jax.Array:
  """Scales a stored kernel[..., in, out] by 1 / sqrt(fan in)."""
  return kernel * (1 / math.sqrt(math.prod(kernel.shape[:-1])))


class EqualDense(nn.Module):
  """Affine map with equalised learning rate, always in float32: latents are small, and errors in them move pixels.

  At highest precision, since accelerators would otherwise round the factors of a float32 product.

  Attributes:
    features: output width.
    bias_init: constant initial bias.
    kernel_init: standard deviation of the fresh kernel.
    activate: apply the scaled leaky ReLU, sqrt(2) * leaky_relu(x + bias, 0.2).
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
    x = jnp.matmul(x.astype(jnp.float32), equalized(kernel), precision=jax.lax.Precision.HIGHEST)
    return ops.leaky_relu_scaled(x, bias) if self.activate else x + bias


class EqualConv(nn.Module):
  """Convolution with equalised learning rate (official code: `ConvLayer` of networks/encoder.py).

  Attributes:
    features: output channels.
    kernel_size: side of the square kernel in pixels.
    downsample: blur with [1, 3, 3, 1] and take every second pixel.
    activate: add a bias and apply the scaled leaky ReLU; otherwise the layer is linear and has no bias.
    padding: 'SAME' or 'VALID'.
    dtype: of the computation; parameters are float32.
  """

  features: int
  kernel_size: int = 3
  downsample: bool = False
  activate: bool = True
  padding: str = 'SAME'
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, move: Move | None = None) -> jax.Array:
    """Maps x[batch, height, width, in] to [batch, height', width', features], halved if `downsample`.

    `move` is done to the result of the convolution, before the bias. Where it is linear, that of a 1 x 1 convolution is
    what the convolution would make of a moved `x`.
    """
    shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
    kernel = equalized(self.param('kernel', nn.initializers.normal(1.0), shape)).astype(self.dtype)
    x = x.astype(self.dtype)
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
      x = ops.leaky_relu_scaled(x, self.param('bias', nn.initializers.zeros, (self.features,)))
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
    conv = functools.partial(EqualConv, dtype=self.dtype)
    y = conv(x.shape[-1], name='conv_0')(x)
    y = conv(self.features, downsample=True, name='conv_1')(y)
    skip = conv(self.features, kernel_size=1, downsample=True, activate=False, name='skip')(x)
    # Keeps the variance of a sum of two independent terms at that of one.
    return (y + skip) * (1 / math.sqrt(2))
