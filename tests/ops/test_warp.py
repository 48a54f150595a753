import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import ops

warp = importlib.import_module('edtalk_jax.ops.warp')  # its name in `ops` is the function's
grid_sample, warped = jax.jit(ops.grid_sample), jax.jit(ops.warp)


def _pixel_grid(size):
  """The grid that samples every pixel at its own centre."""
  centres = (2 * np.arange(size) + 1) / size - 1
  return jnp.asarray(np.stack(np.meshgrid(centres, centres), -1)[None], jnp.float32)


def test_grid_sample_at_pixel_centres_is_the_identity():
  features = jax.random.normal(jax.random.key(0), (1, 8, 8, 3))
  np.testing.assert_allclose(grid_sample(features, _pixel_grid(8)), features, atol=1e-5)


def test_grid_sample_is_zero_outside_and_so_are_its_gradients():
  features = jnp.ones((1, 4, 4, 2))
  grid = jnp.full((1, 3, 3, 2), 5.0)
  out, pull_back = jax.vjp(grid_sample, features, grid)
  assert not np.any(out)
  assert all(not np.any(gradient) for gradient in pull_back(jnp.ones_like(out)))


def test_zero_displacement_is_the_official_zoom_with_dark_corners():
  y = warped(jnp.ones((1, 8, 8, 1)), jnp.zeros((1, 8, 8, 2)))
  np.testing.assert_allclose(y[0, 0, 0], 0.25, atol=1e-6)
  np.testing.assert_allclose(y[0, 0, 4], 0.5, atol=1e-6)
  np.testing.assert_allclose(y[0, 4, 4], 1, atol=1e-6)


def test_displacement_is_x_then_y_in_half_images():
  features = jnp.broadcast_to(jnp.arange(16.0)[None, None, :, None], (1, 16, 16, 1))
  shift = jnp.zeros((1, 16, 16, 2)).at[..., 0].set(0.25)  # an eighth of the width: two pixels
  moved, still = warped(features, shift), warped(features, jnp.zeros_like(shift))
  np.testing.assert_allclose((moved - still)[0, 4:8, 4:8], 2, atol=1e-4)


def test_gradient_of_the_displacement_matches_finite_differences():
  features = jax.random.normal(jax.random.key(0), (1, 6, 6, 2))
  # Steps of 1e-3 stay within a cell for this offset, where the interpolation is bilinear.
  shift = jnp.full((1, 6, 6, 2), 0.01)
  loss = jax.jit(lambda d: jnp.sum(jnp.sin(ops.warp(features, d))))
  gradient = jax.jit(jax.grad(loss))(shift)[0, 2, 3, 0]
  step = jnp.zeros_like(shift).at[0, 2, 3, 0].set(1e-2)
  np.testing.assert_allclose(gradient, (loss(shift + step) - loss(shift - step)) / 2e-2, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize('channels', [3, 128])
def test_one_lookup_of_all_corners_equals_four_with_gradients(channels):
  features = jax.random.normal(jax.random.key(0), (2, 6, 8, channels))
  # Some far outside, some half. Two pictures of each features.
  x, y, scale = (jax.random.uniform(jax.random.key(seed), (4, 5, 7), minval=-4.0, maxval=12.0) for seed in (1, 2, 3))
  results = []
  for form in (warp.sample_corners, warp.sample_quads):

    @jax.jit
    def everything(*args, form=form):
      out, pull_back = jax.vjp(form, *args)
      return out, pull_back(jnp.cos(jnp.arange(out.size).reshape(out.shape)))

    results.append(everything(features, x, y, scale))
  # The same products in another order; of positions, a sum over channels.
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * channels), *results)


def test_bfloat16_features_are_sampled_at_float32_positions():
  features = jax.random.normal(jax.random.key(0), (1, 64, 64, 2))
  shift = 0.1 * jax.random.normal(jax.random.key(1), (1, 64, 64, 2))
  low = warped(features.astype(jnp.bfloat16), shift)
  assert low.dtype == jnp.bfloat16
  # Rounded values, not rounded positions: those would be off by up to a quarter of a pixel.
  np.testing.assert_allclose(low.astype(jnp.float32), warped(features, shift), atol=0.05)


def test_displacement_of_another_size_is_an_error():
  with pytest.raises(ValueError, match='displacement must have shape'):
    ops.warp(jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 4, 4, 2)))


def test_masked_pictures_of_one_source_are_those_of_its_copies():
  features = jax.random.normal(jax.random.key(0), (2, 6, 6, 2))
  shift = 0.3 * jax.random.normal(jax.random.key(1), (6, 6, 6, 2))
  mask = jax.random.uniform(jax.random.key(2), (6, 6, 6, 1))
  copied = warped(jnp.repeat(features, 3, 0), shift) * mask
  # The mask is in the four weights, not in their sum.
  np.testing.assert_allclose(warped(features, shift, mask), copied, rtol=1e-5, atol=1e-6)
