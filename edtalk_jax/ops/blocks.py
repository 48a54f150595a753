"""The first layers of encoder and discriminator, their largest maps in blocks of 2 x 2 pixels: for TPUs.

The stem's 64 channels fill half of a TPU's vectors and matrix units. The four pixels of a block side by side,
[batch, rows, columns, 4 * channels], fill two vectors, and more:

- A 3 x 3 convolution from *shifted* blocks, of the pixels 2 i - 1 and 2 i, to blocks of 2 i and 2 i + 1 is one of 2 x 2
  blocks: of its products 9 / 16 are not with zeros, where of pairs of columns half are.
- What takes every second pixel takes every block: nothing is strided forwards, and nothing interleaved backwards.
- With the FIR filter in it, a 1 x 1 kernel meets 2 x 2 shifted blocks, a 3 x 3 kernel 3 x 3 blocks, both without zeros.

Shifted blocks have pixels beyond the border, which must be zero. What is made of black, and without bias, is: the bias
is what two more colours give, which are 1 on the picture and 0 around it.
"""

import functools
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from edtalk_jax.ops import activation, backend, convolution, lanes, partition, resample
from edtalk_jax.ops.rank import expand_like

_MOST_AT_ONCE = 8  # blocks that are made of colours side by side: 80 of 128 numbers
_HALF = math.sqrt(0.5)  # the gain of both paths of a residual block
_LAYOUT = ('NHWC', 'HWIO', 'NHWC')
Layers = Mapping[str, jax.Array]  # by name of the layer


def first_block_pays(images: jax.Array, channels: int) -> bool:
  """Whether `first_block` should make maps of `channels` from images[batch, height, width, 3], and halve them."""
  fits = lanes.narrow(channels) and lanes.free(images) and partition.undivided_rows()
  return fits and _at_once(images.shape[2]) > 1  # one by one, colours would leave nearly all of a vector empty


def first_block(images: jax.Array, kernels: Layers, biases: Layers, scales: Mapping[str, float]) -> jax.Array:
  """A 1 x 1 convolution of colours and a residual block, which halves the resolution (networks/layers.py).

  On TPUs in blocks of pixels, elsewhere layer by layer: equal up to rounding. In blocks the gradient of the stem's bias
  is rounded to the type of the products, as those of kernels are.

  Args:
    images: [batch, height, width, 3], even in height and width.
    kernels: 'stem', 'conv_0', 'conv_1' and 'skip', [side, side, in, out] in the type of the products.
    biases: the same without 'skip', float32[out].
    scales: of the kernels.

  Returns:
    [batch, height / 2, width / 2, features] in the type of the kernels.
  """
  tpu, default = (functools.partial(form, scales=scales) for form in (in_blocks, layer_by_layer))
  return backend.select(images, kernels, biases, tpu=tpu, default=default)


def layer_by_layer(images: jax.Array, kernels: Layers, biases: Layers, scales: Mapping[str, float]) -> jax.Array:
  """`first_block` of ordinary maps."""
  activate = lambda x, name, gain=1.0: activation.leaky_relu_scaled(x, biases[name], scale=scales[name], gain=gain)
  x = activate(convolution.conv(images.astype(kernels['stem'].dtype), kernels['stem']), 'stem')
  y = activate(convolution.conv(x, kernels['conv_0']), 'conv_0')
  y = activate(convolution.conv_downsample(y, kernels['conv_1']), 'conv_1', _HALF)
  return y + activation.scaled(convolution.conv_downsample(x, kernels['skip']), scales['skip'] * _HALF)


def in_blocks(images: jax.Array, kernels: Layers, biases: Layers, scales: Mapping[str, float]) -> jax.Array:
  """`first_block` of maps in blocks."""
  filtered = lambda name: _of_blocks(resample.blur_kernel(kernels[name])).astype(kernels[name].dtype)
  x = _shifted_from_colours(images, kernels['stem'], biases['stem'], scales['stem'])
  y = _conv(x, _from_shifted(kernels['conv_0']), 'VALID')
  y = _activated(y, biases['conv_0'], scales['conv_0'], 1)
  y = _conv(y, filtered('conv_1'), 'SAME')
  y = activation.leaky_relu_scaled(y, biases['conv_1'], scale=scales['conv_1'], gain=_HALF)
  return y + activation.scaled(_conv(x, filtered('skip'), 'VALID'), scales['skip'] * _HALF)


def _at_once(width):
  return max(count for count in range(1, _MOST_AT_ONCE + 1) if (width // 2 + 1) % count == 0)


def _shifted_from_colours(images, kernel, bias, scale):
  """The stem's map: [batch, height / 2 + 1, width / 2 + 1, 4 * channels], zero beyond the border."""
  features, count = kernel.shape[-1], _at_once(images.shape[2])
  colours = jnp.concatenate([kernel[0, 0].astype(jnp.float32), _in_two_parts(bias / scale)])
  x = jnp.concatenate([images.astype(kernel.dtype), jnp.ones((*images.shape[:3], 2), kernel.dtype)], -1)
  x = lanes.join_columns(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 2 * count)
  # What goes in is by row, block and column of it, what comes out by block, row and column.
  place = np.eye(4 * count).reshape(2, count, 2, 2, count, 2).swapaxes(3, 4).reshape(2, 2 * count, 1, 4 * count, 1)
  placed = (jnp.asarray(place, jnp.float32) * expand_like(colours[:, None], place)).reshape(
    2, 1, -1, 4 * count * features
  )
  y = _conv(x, placed.astype(kernel.dtype), 'VALID', (2, 1))
  return _activated(y, jnp.zeros(features), scale, count)


def _in_two_parts(values):
  """[2, ...] of 8 bits each, as products round them, which add up to 16 bits; the first has the gradient."""
  rest = jax.lax.stop_gradient(values - jax.lax.reduce_precision(values, 8, 7))
  return jnp.stack([values - rest, rest])


def _from_shifted(kernel):
  """The kernel[2, 2, 4 * in, 4 * out] from shifted blocks to blocks that does what `kernel`[3, 3, in, out] does."""
  pixels = [jnp.pad(kernel, ((a, 1 - a), (b, 1 - b), (0, 0), (0, 0))) for a, b in np.ndindex(2, 2)]
  return _of_blocks(jnp.concatenate(pixels, -1))


def _of_blocks(kernel):
  """[2 * rows, 2 * columns, in, out] -> [rows, columns, 4 * in, out]."""
  rows, columns, channels, features = kernel.shape
  blocks = kernel.reshape(rows // 2, 2, columns // 2, 2, channels, features).swapaxes(1, 2)
  return blocks.reshape(rows // 2, columns // 2, 4 * channels, features)


def _conv(x, kernel, padding, strides=(1, 1)):
  y = jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_LAYOUT)
  return checkpoint_name(y, convolution.CONV)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _activated(x, bias, scale, count):
  """`leaky_relu_scaled`, then cut into `count` columns."""
  return lanes.split_columns(activation.leaky_relu_scaled(x, bias, scale=scale), count)


def _activated_forward(x, bias, scale, count):
  y = _activated(x, bias, scale, count)
  return y, (y, len(bias))


def _activated_backward(scale, count, residuals, cotangent):
  """One pass, part of the convolution that the gradient comes from: whole columns, and behind a barrier."""
  y, channels = residuals
  gradient = cotangent.astype(jnp.float32) * activation.slope(y)
  of_bias = jnp.sum(jnp.sum(gradient, (0, 1, 2)).reshape(-1, channels), 0)
  of_x = jax.lax.optimization_barrier((gradient * scale).astype(y.dtype))
  return lanes.join_columns(of_x, count), of_bias


_activated.defvjp(_activated_forward, _activated_backward)
