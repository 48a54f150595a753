"""Boxes of images as squares of one size."""

import jax
import jax.numpy as jnp


def crop(images: jax.Array, boxes: jax.Array, size: int) -> jax.Array:
  """Cuts a box out of every image and resizes it bilinearly, with zeros outside (official trainer of Audio2Lip).

  The official code calls `grid_sample` on a regular grid. As the box is upright, rows and columns are interpolated
  independently: two matrix products, without a gather and, backwards, without a scatter.

  Args:
    images: [batch, height, width, channels].
    boxes: float32[batch, 4], (left, top, right, bottom) in pixels from the image's outer edge; the first and the last
      sample of a row lie on `left` and `right`. No gradient is wanted there.
    size: side of the crops.

  Returns:
    float32[batch, size, size, channels], differentiable in `images`.
  """
  _, height, width, _ = images.shape
  rows = _interpolation(boxes[:, 1], boxes[:, 3], size, height)
  columns = _interpolation(boxes[:, 0], boxes[:, 2], size, width)
  # What is a copy of pixels elsewhere must not lose bits here.
  cut = jnp.einsum('bih,bhwc->biwc', rows, images.astype(jnp.float32), precision=jax.lax.Precision.HIGHEST)
  return jnp.einsum('bjw,biwc->bijc', columns, cut, precision=jax.lax.Precision.HIGHEST)


def _interpolation(first: jax.Array, last: jax.Array, size: int, pixels: int) -> jax.Array:
  """Weights float32[batch, size, pixels] of each pixel at `size` places from `first` to `last`."""
  share = jnp.linspace(0.0, 1.0, size)
  # A pixel's centre is half a pixel from its edge.
  places = first[:, None] + share[None] * (last - first)[:, None] - 0.5
  return jnp.maximum(0.0, 1 - jnp.abs(places[..., None] - jnp.arange(pixels)[None, None]))
