"""Backward warping by a dense flow."""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def base_grid(size: tuple[int, int]) -> jax.Array:
  """float32[height, width, 2]: coordinates (x, y), -1 at the first and 1 at the last pixel centre.

  Corner-aligned although `grid_sample` is not, as in the official code (networks/styledecoder.py, ToFlow): a zero
  displacement samples half a pixel outside the border, and trained weights compensate for that.
  """
  height, width = size
  x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
  return jnp.asarray(np.stack([x, y], -1), jnp.float32)


def grid_sample(features: jax.Array, grid: jax.Array) -> jax.Array:
  """Bilinear lookup with zeros outside (PyTorch's `grid_sample`, align_corners=False).

  Args:
    features: [batch, height, width, channels].
    grid: [batch, out_height, out_width, 2], (x, y) where -1 and 1 are the outer edges of the border pixels. Coordinates
      and sums are float32 whatever the type of `features`: the grid's gradient is a sum over channels.

  Returns:
    [batch, out_height, out_width, channels] in the type of `features`, differentiable in both arguments.
  """
  _, height, width, _ = features.shape
  grid = grid.astype(jnp.float32)
  x = ((grid[..., 0] + 1) * width - 1) / 2
  y = ((grid[..., 1] + 1) * height - 1) / 2
  return jax.lax.platform_dependent(features, x, y, tpu=sample_quads, default=sample_corners)


def sample_corners(features: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
  """`grid_sample` at columns `x` and rows `y`, float32[batch, out_height, out_width]: four lookups."""
  _, height, width, _ = features.shape
  left, top = jnp.floor(x), jnp.floor(y)

  def corner(row, column):
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    weight = jnp.where(inside, (1 - jnp.abs(y - row)) * (1 - jnp.abs(x - column)), 0)
    row = jnp.clip(row, 0, height - 1).astype(jnp.int32)
    column = jnp.clip(column, 0, width - 1).astype(jnp.int32)
    values = jax.vmap(lambda image, r, c: image[r, c])(features, row, column)
    return values.astype(jnp.float32) * weight[..., None]

  sampled = (corner(top, left) + corner(top, left + 1)) + (corner(top + 1, left) + corner(top + 1, left + 1))
  return sampled.astype(features.dtype)


def sample_quads(features: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
  """`sample_corners` by one lookup of all four corners together, for TPUs.

  A lookup, and still more the addition in its gradient, costs a TPU by the row, whatever its length. All else is
  matrix products, whose results have channels side by side as the rows have: other forms spend their time on moving
  weights from pixels side by side to channels side by side. With features in bfloat16, positions are still float32, but
  the weights and each corner's part are rounded as the features are.
  """
  batch, height, width, channels = features.shape
  left, top = jnp.floor(x), jnp.floor(y)
  near = (left >= -1) & (left < width) & (top >= -1) & (top < height)  # at least one corner is inside
  ahead, below = jnp.where(near, x - left, 0), jnp.where(near, y - top, 0)
  weights = jnp.stack([(1 - below) * (1 - ahead), (1 - below) * ahead, below * (1 - ahead), below * ahead], -1)
  weights *= near[..., None]
  # Pixel (r, q) of the table has the corners of the cell that begins at (r - 1, q - 1), zeros beyond the border.
  choose = jnp.eye(4 * channels, dtype=features.dtype).reshape(2, 2, channels, 4 * channels)
  table = jax.lax.conv_general_dilated(
    features, choose, (1, 1), [(1, 1)] * 2, dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    precision=jax.lax.Precision.HIGHEST)  # fmt: skip
  row = jnp.clip(top, -1, height - 1).astype(jnp.int32) + 1
  column = jnp.clip(left, -1, width - 1).astype(jnp.int32) + 1
  index = (row * (width + 1) + column).reshape(batch, -1)
  quads = jax.vmap(lambda rows, at: rows[at])(table.reshape(batch, -1, 4 * channels), index)
  product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
  spread = jnp.repeat(jnp.eye(4, dtype=features.dtype), channels, 1)
  parts = quads * product(weights.astype(features.dtype).reshape(batch, -1, 4), spread)
  add = jnp.tile(jnp.eye(channels, dtype=features.dtype), (4, 1))
  return product(parts, add).reshape(*x.shape, channels)


def warp(features: jax.Array, displacement: jax.Array) -> jax.Array:
  """Samples `features` where the flow points to (LIA Sec. 3.2; official code, networks/styledecoder.py, ToFlow).

  Args:
    features: [batch, height, width, channels].
    displacement: float32[batch, height, width, 2] in normalised units (x, y): 2 is the whole image.

  Returns:
    [batch, height, width, channels] in the type of `features`.

  Raises:
    ValueError: if `displacement` does not hold one vector per pixel.
  """
  if displacement.shape != (*features.shape[:3], 2):
    raise ValueError(f'displacement must have shape {(*features.shape[:3], 2)}, got {displacement.shape}')
  return grid_sample(features, base_grid(features.shape[1:3]) + displacement.astype(jnp.float32))
