"""The emotion enhancement module (EEM): expression as a per-channel affine of the source's features."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from edtalk_jax import ops

# PyTorch's default for linear layers and convolutions, which the official EEM keeps: uniform, +-1 / sqrt(fan in).
torch_uniform = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


def _bias_init(fan_in: int):
  bound = fan_in**-0.5
  return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


class AdaIN(nn.Module):
  """Instance normalisation whose scale and shift come from a code (Huang and Belongie, 2017; `ADAIN`, official code).

  Attributes:
    hidden: width of the layer between code and scale.
  """

  hidden: int = 128

  @nn.compact
  def __call__(self, x: jax.Array, code: jax.Array) -> jax.Array:
    """Maps x[batch, height, width, channels], code[batch, style_dim] to the shape of `x`."""
    channels = x.shape[-1]

    def dense(features, fan_in, name):
      return nn.Dense(features, kernel_init=torch_uniform, bias_init=_bias_init(fan_in), name=name)

    hidden = nn.relu(dense(self.hidden, code.shape[-1], 'hidden')(code))
    scale, shift = (dense(channels, self.hidden, name)(hidden)[:, None, None] for name in ('scale', 'shift'))
    return (ops.instance_norm(x) * (1 + scale) + shift).astype(x.dtype)


class ExpressionModule(nn.Module):
  """Adds the expression to the source's features of one level (EDTalk Sec. 3.3; official code, `EEM`).

  The official forward pass computes a first convolution and norm and then overwrites the result, so released weights
  were trained as x + AdaIN(conv(x), e), which is what this is. The convolution's bias is left out as well: the
  normalisation that follows subtracts it again.

  Attributes:
    hidden: hidden width of the AdaIN.
    dtype: of the convolution.
  """

  hidden: int = 128
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, expression: jax.Array) -> jax.Array:
    """Maps x[batch, height, width, channels], expression[batch, style_dim] to the shape of `x`."""
    x = x.astype(self.dtype)
    kernel = self.param('kernel', torch_uniform, (3, 3, x.shape[-1], x.shape[-1]))
    y = ops.conv(x, kernel.astype(self.dtype))
    return x + AdaIN(self.hidden, name='norm')(y, expression)
