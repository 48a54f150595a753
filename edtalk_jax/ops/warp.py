"""Backward warping by a dense flow."""

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
      and interpolation are float32 whatever the type of `features`: the grid's gradient is a sum over channels.

  Returns:
    [batch, out_height, out_width, channels] in the type of `features`, differentiable in both arguments.
  """
  _, height, width, _ = features.shape
  grid = grid.astype(jnp.float32)
  x = ((grid[..., 0] + 1) * width - 1) / 2
  y = ((grid[..., 1] + 1) * height - 1) / 2
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
