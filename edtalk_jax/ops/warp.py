"""Backward warping by a dense flow."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.layout import Layout, with_layout_constraint

from edtalk_jax.ops import backend, partition


def base_grid(size: tuple[int, int]) -> jax.Array:
  """float32[height, width, 2]: coordinates (x, y), -1 at the first and 1 at the last pixel centre.

  Corner-aligned although `grid_sample` is not, as in the official code (networks/styledecoder.py, ToFlow): a zero
  displacement samples half a pixel outside the border, and trained weights compensate for that.
  """
  height, width = size
  x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
  return jnp.asarray(np.stack([x, y], -1), jnp.float32)


def grid_sample(features: jax.Array, grid: jax.Array, scale: jax.Array | None = None) -> jax.Array:
  """Bilinear lookup with zeros outside (PyTorch's `grid_sample`, align_corners=False).

  Args:
    features: [batch, height, width, channels].
    grid: [n * batch, out_height, out_width, 2], (x, y) where -1 and 1 are the outer edges of the border pixels; picture
      i is of features i // n. Coordinates and sums are float32 whatever the type of `features`: the grid's gradient is
      a sum over channels.
    scale: float32[n * batch, out_height, out_width], by which what is found is multiplied; None for 1.

  Returns:
    [n * batch, out_height, out_width, channels] in the type of `features`, differentiable in all arguments.
  """
  _, height, width, _ = features.shape
  grid = grid.astype(jnp.float32)
  x = ((grid[..., 0] + 1) * width - 1) / 2
  y = ((grid[..., 1] + 1) * height - 1) / 2
  scale = jnp.ones_like(x) if scale is None else scale
  return backend.select(features, x, y, scale, tpu=sample_quads, default=sample_corners)


def sample_corners(features: jax.Array, x: jax.Array, y: jax.Array, scale: jax.Array) -> jax.Array:
  """`grid_sample` at columns `x` and rows `y`, float32[n * batch, out_height, out_width]: four lookups."""
  batch, height, width, channels = features.shape
  left, top = jnp.floor(x), jnp.floor(y)

  def corner(row, column):
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    weight = jnp.where(inside, (1 - jnp.abs(y - row)) * (1 - jnp.abs(x - column)), 0) * scale
    row = jnp.clip(row, 0, height - 1).astype(jnp.int32).reshape(batch, -1, *x.shape[1:])
    column = jnp.clip(column, 0, width - 1).astype(jnp.int32).reshape(row.shape)
    values = jax.vmap(lambda image, r, c: image[r, c])(features, row, column)
    return values.reshape(*x.shape, channels).astype(jnp.float32) * weight[..., None]

  sampled = (corner(top, left) + corner(top, left + 1)) + (corner(top + 1, left) + corner(top + 1, left + 1))
  return sampled.astype(features.dtype)


def sample_quads(features: jax.Array, x: jax.Array, y: jax.Array, scale: jax.Array) -> jax.Array:
  """`sample_corners` by one lookup of all four corners together, for TPUs.

  A lookup, and still more the addition in its gradient, costs a TPU by the row, whatever its length.
  """
  batch, height, width, channels = features.shape
  left, top = jnp.floor(x), jnp.floor(y)
  near = (left >= -1) & (left < width) & (top >= -1) & (top < height)  # at least one corner is inside
  ahead, below = jnp.where(near, x - left, 0), jnp.where(near, y - top, 0)
  weights = jnp.stack([(1 - below) * (1 - ahead), (1 - below) * ahead, below * (1 - ahead), below * ahead])
  weights *= (near * scale)[None]
  row = jnp.clip(top, -1, height - 1).astype(jnp.int32) + 1
  column = jnp.clip(left, -1, width - 1).astype(jnp.int32) + 1
  index = (row * (width + 1) + column).reshape(batch, -1, x[0].size)
  quads = jax.vmap(lambda rows, at: rows[at])(_corners(features).reshape(batch, -1, 4 * channels), index)
  sampled = _weighted(quads.reshape(len(x), -1, 4 * channels), weights.reshape(4, len(x), -1))
  return sampled.reshape(*x.shape, channels)


def _corners(features):
  """Pixel (r, q) has the corners of the cell that begins at (r - 1, q - 1), zeros beyond the border."""
  height, width, channels = features.shape[1:]
  if _whole_vectors(channels):  # a matrix product per corner is quicker than putting whole vectors side by side
    choose = jnp.eye(4 * channels, dtype=features.dtype).reshape(2, 2, channels, 4 * channels)
    return jax.lax.conv_general_dilated(
      features,
      choose,
      (1, 1),
      [(1, 1)] * 2,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      precision=jax.lax.Precision.HIGHEST,
    )
  padded = jnp.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)))
  return jnp.concatenate([padded[:, i : i + height + 1, j : j + width + 1] for i in (0, 1) for j in (0, 1)], -1)


@jax.custom_vjp
def _weighted(quads: jax.Array, weights: jax.Array) -> jax.Array:
  """Sums over the corners: quads[batch, pixels, 4 * channels] and float32 weights[4, batch, pixels], in float32.

  Corner by corner: what has all four is as large as the quads, and by autodiff several such would be kept.
  """
  parts = zip(jnp.split(quads, 4, -1), weights, strict=True)
  total = functools.reduce(jnp.add, (corner * weight[..., None] for corner, weight in parts))
  return _in_rows(total.astype(quads.dtype))


def _in_rows(x):
  """`x` in memory as lookups give and take it, pixel after pixel, if it has whole vectors.

  Convolutions want pictures side by side. Left alone, XLA carries that through the sum to what was looked up: four
  times as much is turned around, and each corner's gradient is summed up by itself.
  """
  if not _whole_vectors(x.shape[-1]):
    return x
  return partition.on_shares(lambda x: with_layout_constraint(x, Layout((0, 1, 2))), x)


def _whole_vectors(channels):
  return channels % 128 == 0


def _weighted_backward(residuals, cotangent):
  quads, weights = residuals
  cotangent = _in_rows(cotangent)
  exact = cotangent.astype(jnp.float32)
  of_weights = jnp.stack([jnp.sum(corner * exact, -1) for corner in jnp.split(quads, 4, -1)])
  if _whole_vectors(cotangent.shape[-1]):  # one pass; putting finished quarters side by side is another
    corner = jax.lax.broadcasted_iota(jnp.int32, quads.shape, 2) // cotangent.shape[-1]
    first, second, third, fourth = weights[..., None]
    chosen = jnp.where(corner < 2, jnp.where(corner == 0, first, second), jnp.where(corner == 2, third, fourth))
    return (jnp.concatenate([cotangent] * 4, -1) * chosen).astype(quads.dtype), of_weights
  return jnp.concatenate([(cotangent * weight[..., None]).astype(quads.dtype) for weight in weights], -1), of_weights


_weighted.defvjp(lambda quads, weights: (_weighted(quads, weights), (quads, weights)), _weighted_backward)


def warp(features: jax.Array, displacement: jax.Array, mask: jax.Array | None = None) -> jax.Array:
  """Samples `features` where the flow points to (LIA Sec. 3.2; official code, networks/styledecoder.py, ToFlow).

  Args:
    features: [batch, height, width, channels].
    displacement: float32[n * batch, height, width, 2] in normalised units (x, y): 2 is the whole image. Picture i is of
      features i // n.
    mask: float32[n * batch, height, width, 1], how much to take of them; all by default.

  Returns:
    [n * batch, height, width, channels] in the type of `features`.

  Raises:
    ValueError: if `displacement` does not hold one vector per pixel.
  """
  if displacement.shape[1:] != (*features.shape[1:3], 2) or len(displacement) % len(features):
    raise ValueError(f'displacement must have shape {(*features.shape[:3], 2)}, got {displacement.shape}')
  grid = base_grid(features.shape[1:3])[None] + displacement.astype(jnp.float32)
  return grid_sample(features, grid, None if mask is None else mask[..., 0])
