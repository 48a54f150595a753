"""VGG19: clamp, pyramid and the smallest image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax.networks import VGG19, pyramid_features
from tests.networks.tiny import images

VGG = VGG19(width=0.125)
VARIABLES = jax.jit(VGG.init)(jax.random.key(0), images(0, size=32))

features = jax.jit(VGG.apply)


def test_pixels_beyond_the_range_are_clamped_and_get_no_gradient():
  image = images(1, size=32) * 2
  outside = jnp.abs(image) > 1
  gradient = jax.jit(jax.grad(lambda x: sum(f.sum() for f in VGG.apply(VARIABLES, x))))(image)
  np.testing.assert_array_equal(gradient[outside], 0)
  assert (gradient[~outside] != 0).mean() > 0.9
  for clamped, ours in zip(features(VARIABLES, jnp.clip(image, -1, 1)), features(VARIABLES, image), strict=True):
    np.testing.assert_array_equal(clamped, ours)


def test_pyramid_has_five_maps_per_scale():
  maps = jax.eval_shape(lambda x: pyramid_features(VARIABLES, x, (1.0, 0.25), vgg=VGG), images(1, size=64))
  assert [[f.shape[1] for f in scale] for scale in maps] == [[64, 32, 16, 8, 4], [16, 8, 4, 2, 1]]


def test_random_features_keep_their_scale():
  # He initialisation: no layer may fade or blow up, or one scale of the loss would rule.
  vgg = VGG19(width=0.5)
  maps, _ = jax.jit(vgg.init_with_output)(jax.random.key(0), images(1, size=32))
  assert all(0.1 < float(f.std()) < 10 for f in maps)


@pytest.mark.usefixtures('all_platforms')
@pytest.mark.parametrize('width, size', [(1 / 16, 32), (0.125, 36)])  # few channels; 18 columns, which are 9 pairs
@pytest.mark.parametrize('pictures', [2, 9])
def test_columns_that_cannot_lie_side_by_side_are_single_ones(width, size, pictures):
  vgg = VGG19(width=width)
  image = jnp.zeros((pictures, size, size, 3))
  variables = jax.eval_shape(vgg.init, jax.random.key(0), image)
  gradient = jax.grad(lambda image, variables: sum(f.sum() for f in vgg.apply(variables, image)))
  lowered = jax.jit(gradient).trace(image, variables).lower(lowering_platforms=('tpu', 'cpu'))
  assert lowered.out_info.shape == image.shape


def test_too_small_images_are_an_error():
  with pytest.raises(ValueError, match='at least 16 x 16 pixels'):
    VGG.apply(VARIABLES, images(1, size=8))
