"""Where pixels come from, on images that are not square and not symmetrical."""

import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax.ops import resample
from edtalk_jax.ops.warp import grid_sample


def _ramp(height, width):
  y, x = np.meshgrid(np.arange(height), np.arange(width), indexing='ij')
  return jnp.asarray(np.stack([x, y], -1)[None], jnp.float32)


@pytest.mark.parametrize('factor', [2, 4, 8])
def test_a_smaller_image_shows_every_so_many_pixel(factor):
  small = resample.antialias_downsample(_ramp(64, 96), factor)[0]
  inside = slice(16 // factor, -16 // factor)  # beyond the border lie zeros
  np.testing.assert_allclose(small[inside, inside], _ramp(64, 96)[0, ::factor, ::factor][inside, inside], atol=1e-3)


def test_the_sampler_takes_columns_by_the_width_and_rows_by_the_height():
  features = _ramp(4, 6)
  x, y = np.meshgrid((np.arange(6) + 0.5) / 3 - 1, (np.arange(4) + 0.5) / 2 - 1)
  grid = jnp.asarray(np.stack([x, y], -1)[None], jnp.float32)
  np.testing.assert_allclose(grid_sample(features, grid), features, atol=1e-5)
