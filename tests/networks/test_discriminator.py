"""The discriminator's groups over views, and the errors of its shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax.networks import Discriminator
from tests.networks.tiny import CONFIG, images

MODEL = Discriminator(CONFIG)
VARIABLES = jax.jit(MODEL.init)(jax.random.key(0), images(0))

score = jax.jit(MODEL.apply, static_argnames='views')


def test_views_side_by_side_are_scored_like_the_official_order():
  batch = images(1, batch=8)
  by_view = batch.reshape(4, 2, *batch.shape[1:]).swapaxes(0, 1).reshape(batch.shape)
  official = score(VARIABLES, by_view)
  ours = score(VARIABLES, batch, views=2)
  np.testing.assert_allclose(ours.reshape(4, 2), official.reshape(2, 4).T, rtol=1e-5)
  # Without the order the groups would be others.
  assert np.abs(score(VARIABLES, batch) - ours).max() > 1e-5


def test_deviation_sees_other_samples():
  alone = score(VARIABLES, images(1, batch=1))
  beside = score(VARIABLES, jnp.concatenate([images(1, batch=1), images(2, batch=1)]))
  assert abs(float(alone[0] - beside[0])) > 1e-5


def test_images_of_another_size_are_an_error():
  with pytest.raises(ValueError, match=r'expected \(batch, 16, 16, 3\)'):
    score(VARIABLES, images(1, size=8))
