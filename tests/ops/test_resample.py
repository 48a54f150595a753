import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import ops
from edtalk_jax.ops import resample


def test_blur_keeps_a_constant_and_fades_at_the_border():
  y = ops.blur(jnp.ones((1, 6, 6, 2)), (2, 1))
  assert y.shape == (1, 6, 6, 2)
  np.testing.assert_allclose(y[0, 2, 2], 1)
  # Half of the first row's taps and half of the first column's lie in the padding.
  np.testing.assert_allclose(y[0, 0, 0], 0.25)


@pytest.mark.parametrize('pad', [(0, 0), (1, 1), (1, 2), (2, 1), (2, 2), (3, 3)])
def test_blur_gradient_is_its_transpose(pad):
  x = jax.random.normal(jax.random.key(0), (2, 7, 5, 3))
  matrix = jax.jit(jax.jacfwd(lambda z: resample.blur.__wrapped__(z, pad)))(x)
  y, pull_back = jax.vjp(lambda z: ops.blur(z, pad), x)
  cotangent = jax.random.normal(jax.random.key(1), y.shape)
  want = jnp.tensordot(cotangent, matrix, axes=y.ndim)
  np.testing.assert_allclose(pull_back(cotangent)[0], want, atol=1e-5)  # sixteen products of unit size


def test_blur_decimate_is_every_second_pixel_of_blur():
  x = jax.random.normal(jax.random.key(0), (2, 8, 6, 3))
  np.testing.assert_allclose(resample.blur_decimate(x), ops.blur(x, (1, 1))[:, ::2, ::2], atol=1e-6)


def test_upsample_interpolates_a_ramp_linearly():
  ramp = jnp.broadcast_to(jnp.arange(8.0)[None, :, None, None], (1, 8, 8, 1))
  y = ops.upsample(ramp)[0, 2:-2, 8, 0]
  np.testing.assert_allclose(np.diff(y), 0.5, atol=1e-6)


@pytest.mark.parametrize(('factor', 'side'), [(2, 5), (4, 13), (8, 29)])
def test_antialias_keeps_a_constant_inside_and_is_as_wide_as_said(factor, side):
  size = 64
  y = ops.antialias_downsample(jnp.ones((1, size, size, 1)), factor)
  assert y.shape == (1, size // factor, size // factor, 1)
  np.testing.assert_allclose(y[0, size // factor // 2, size // factor // 2, 0], 1, rtol=1e-6)
  impulse = jnp.zeros((1, size, 1, 1)).at[0, 32].set(1.0)
  reached = np.flatnonzero(ops.antialias_downsample(impulse, factor)[0, :, 0, 0]) * factor
  assert np.all(np.abs(reached - 32) <= side // 2)


def test_pyramid_has_one_level_per_scale_and_returns_the_image_itself_at_scale_1():
  x = jnp.ones((1, 16, 16, 3))
  levels = ops.pyramid(x, (1.0, 0.5, 0.125))
  assert levels[0] is x
  assert [level.shape[1] for level in levels] == [16, 8, 2]


def test_unknown_factor_is_an_error():
  with pytest.raises(ValueError, match='factor must be 2, 4 or 8, got 3'):
    ops.antialias_downsample(jnp.ones((1, 9, 9, 3)), 3)
