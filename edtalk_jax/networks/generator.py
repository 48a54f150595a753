"""The generator: a latent code paints flow fields and masks, which warp the source's features into the image."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from edtalk_jax import ops
from edtalk_jax.config import ModelConfig
from edtalk_jax.networks.expression import ExpressionModule
from edtalk_jax.networks.layers import EqualConv, EqualDense, Move, equalizer, rematerialized


class StyledConv(nn.Module):
  """Modulated convolution and scaled leaky ReLU (StyleGAN2 Sec. 2.2, without noise).

  The style scales the activations instead of the kernel, so one convolution serves the whole batch; see
  `ops.modulated_conv`.

  Attributes:
    features: output channels.
    upsample: double the resolution.
    dtype: of the convolution.
  """

  features: int
  upsample: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, latent: jax.Array) -> jax.Array:
    """Maps x[batch, height, width, in], latent[batch, style_dim] to [batch, height', width', features]."""
    style = EqualDense(x.shape[-1], bias_init=1.0, name='style')(latent)
    kernel = self.param('kernel', nn.initializers.normal(1.0), (3, 3, x.shape[-1], self.features))
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    x = x.astype(self.dtype)
    if self.upsample:
      columns = 2 if ops.narrow(self.features) else 1
    else:
      columns = ops.together(x, kernel.shape)
      x = ops.join_columns(x, columns)
    x = ops.styled_conv(x, kernel, style, bias, scale=equalizer(kernel), upsample=self.upsample, columns=columns)
    return ops.split_columns(ops.split_rows(x), columns)


class Flow(nn.Module):
  """Where to fetch the source's features, and how much of them to take (`ToFlow` of the official code; LIA Sec. 3.3).

  The base grid puts the outermost pixels at -1 and 1 while the sampler puts the image's edges there, as in the
  official code: a displacement of zero is a slight zoom, not the identity (docs/model.md).

  Attributes:
    initial: standard deviation of the fresh kernel; see `ModelConfig.flow_init`.
  """

  initial: float

  @nn.compact
  def __call__(
    self, x: jax.Array, latent: jax.Array, source: jax.Array, coarser: jax.Array | None, last: bool = False
  ) -> tuple[tuple[jax.Array, jax.Array], jax.Array | None, jax.Array | None, jax.Array]:
    """Warps the source's features of one level.

    Args:
      x: style path, [n * batch, size, size, channels].
      latent: [n * batch, style_dim].
      source: the source's features, [batch, size, size, channels].
      coarser: raw flow of the level below, float32[n * batch, size / 2, size / 2, 3]; None at the first level.
      last: whether nothing goes on from here, so that no features need be warped.

    Returns:
      Displacement and mask, float32[n * batch, size, size, 2 and 1]; masked warped features and the blend that the
      style path goes on with, both like `x`, None at the last level; and the raw flow, float32[n * batch, size, size,
      3]: displacement (x, y) before tanh, mask before the sigmoid.
    """
    style = EqualDense(x.shape[-1], bias_init=1.0, name='style')(latent)
    kernel = self.param('kernel', nn.initializers.normal(self.initial), (1, 1, x.shape[-1], 3))
    bias = self.param('bias', nn.initializers.zeros, (3,))
    columns = ops.together(x, kernel.shape)
    raw = ops.join_columns(x, columns)
    raw = ops.modulated_conv(
      raw, kernel, style, scale=equalizer(kernel), demodulate=False, columns=columns, dtype=jnp.float32
    )
    raw = ops.split_columns(raw, columns) + ops.expand_like(bias, raw)
    if coarser is not None:
      raw += ops.upsample(coarser)
    displacement, mask = jnp.tanh(raw[..., :2]), jax.nn.sigmoid(raw[..., 2:])
    warped = blended = None
    if not last or self.is_mutable_collection('intermediates'):
      warped = ops.warp(source, displacement, mask)
      blended = (warped.astype(jnp.float32) + x.astype(jnp.float32) * (1 - mask)).astype(x.dtype)
    for name, value in {'raw': raw, 'mask': mask, 'warped': warped, 'blended': blended}.items():
      self.sow('intermediates', name, value)
    return (displacement, mask), warped, blended, raw


class RGB(nn.Module):
  """Reads colours from warped features (`ToRGB` of the official code), in float32.

  Unlike StyleGAN2's, this layer is not linear: each level's colours pass the scaled leaky ReLU before they are added.
  """

  @nn.compact
  def __call__(self, x: jax.Array, coarser: jax.Array | None, move: Move | None = None) -> jax.Array:
    """Maps x[batch, size, size, channels] and the RGB of half the size to float32[batch, size, size, 3].

    With `move`, colours are read from what moving `x` would give: they are read first, and three channels are moved.
    """
    bias = self.param('bias', nn.initializers.zeros, (3,))
    conv = EqualConv(3, kernel_size=1, dtype=jnp.float32, name='conv')
    rgb = conv(x, move) + ops.expand_like(bias, x)
    rgb = rgb if coarser is None else rgb + ops.upsample(coarser)
    self.sow('intermediates', 'rgb', rgb)
    return rgb


class Generator(nn.Module):
  """Synthesis by warping (EDTalk Sec. 3.1; official code, networks/styledecoder.py, `Synthesis`).

  Colours are read from warped source features alone: the style path reaches the image only through flow and mask.
  With `mutable=['intermediates']`, `apply` also returns `flow_<size>/{raw, mask, warped, blended}` and
  `rgb_<size>/rgb` of every level, for visualisation and tests; otherwise they cost nothing.

  Attributes:
    config: sizes; `expression_module` adds the EEM.
  """

  config: ModelConfig

  @nn.compact
  def __call__(
    self, latent: jax.Array, features: Sequence[jax.Array], expression: jax.Array | None = None
  ) -> jax.Array:
    """Paints images.

    Args:
      latent: float32[batch, style_dim].
      features: the source's, from `Encoder`, 8 pixels first. Where they are of fewer pictures than `latent`, by a
        factor n, picture i is of source i // n.
      expression: the expression bank's shift, float32[batch, style_dim]; None leaves the source's features as they are.

    Returns:
      float32[batch, image_size, image_size, 3], nominally in [-1, 1] but not bounded.

    Raises:
      ValueError: if an expression is given to a model without EEM, or levels are missing from `features`.
    """
    config = self.config
    if expression is not None and not config.expression_module:
      raise ValueError('expression is given, but model.expression_module is False')
    sizes = [source.shape[1] for source in features]
    if sizes != [8 << level for level in range(config.image_size.bit_length() - 3)]:
      raise ValueError(f'features have sizes {sizes}, expected 8, 16, ..., {config.image_size}')
    constant = self.param('constant', nn.initializers.normal(1.0), (1, 4, 4, config.channels(4)))
    x = jnp.broadcast_to(constant, (len(latent), *constant.shape[1:]))
    x = StyledConv(config.channels(4), dtype=config.dtype, name='conv_4')(x, latent)
    flow = rgb = None
    level = rematerialized(_level, config.remat)
    for source in features:
      x, flow, rgb = level(self, x, flow, rgb, latent, source, expression)
    return rgb


@nn.compact
def _level(generator: Generator, x, flow, rgb, latent, source, expression):
  """One resolution of the generator: doubles the style path `x`, the raw flow and the colours. Returns all three.

  A function and not a module, so that its layers are children of the generator.
  """
  config, size = generator.config, source.shape[1]
  channels = config.channels(size)
  x = StyledConv(channels, upsample=True, dtype=config.dtype, name=f'up_{size}')(x, latent)
  x = StyledConv(channels, dtype=config.dtype, name=f'conv_{size}')(x, latent)
  if expression is not None:
    source = jnp.repeat(source, len(x) // len(source), 0)
    source = ExpressionModule(config.expression_hidden, config.dtype, name=f'expression_{size}')(source, expression)
  last = size == config.image_size
  where, warped, x, flow = Flow(config.flow_init, name=f'flow_{size}')(x, latent, source, flow, last)
  paint = RGB(name=f'rgb_{size}')
  if not last:
    return x, flow, paint(warped, rgb)
  # Reading colours and warping change places: three channels are warped instead of 64.
  return x, flow, paint(source, rgb, lambda colours: ops.warp(colours, *where))
