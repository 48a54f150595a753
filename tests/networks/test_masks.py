"""Where the generator's features come from: the source where the mask says so, the style path elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import ops
from edtalk_jax.networks.generator import Flow
from edtalk_jax.networks.navigation import relative_weights

X, SOURCE = (jax.random.normal(jax.random.key(seed), (2, 8, 8, 4)) for seed in (0, 1))
LATENT = jax.random.normal(jax.random.key(2), (2, 6))


@pytest.fixture(scope='module')
def flow():
  """Logit of the mask -> the results of a flow whose displacements and mask are the same everywhere."""
  module = Flow(1.0)
  params = module.init(jax.random.key(3), X, LATENT, SOURCE, None)['params']
  apply = jax.jit(lambda params: module.apply({'params': params}, X, LATENT, SOURCE, None))

  def at(logit):
    zeros = jnp.zeros_like(params['kernel'])
    return apply({**params, 'kernel': zeros, 'bias': jnp.array([0.2, -0.1, logit])})

  return at


def test_a_mask_of_one_takes_the_source_and_one_of_zero_the_style_path(flow):
  (displacement, mask), warped, blended, _ = flow(30.0)
  np.testing.assert_allclose(displacement, np.broadcast_to(np.tanh([0.2, -0.1]), displacement.shape), rtol=1e-5)
  np.testing.assert_allclose(warped, ops.warp(SOURCE, displacement), atol=1e-5)
  np.testing.assert_allclose(blended, warped, atol=1e-5)
  (_, mask), warped, blended, _ = flow(-30.0)
  np.testing.assert_allclose(mask, 0, atol=1e-6)
  np.testing.assert_allclose(warped, 0, atol=1e-6)
  np.testing.assert_allclose(blended, X, atol=1e-5)


def test_between_them_both_are_mixed(flow):
  (_, mask), warped, blended, _ = flow(1.0)
  np.testing.assert_allclose(mask, 1 / (1 + np.exp(-1)), rtol=1e-5)
  np.testing.assert_allclose(blended, warped + (1 - mask) * X, atol=1e-5)


def test_relative_motion_goes_the_way_of_the_driver():
  weights = lambda number: {'mouth': jnp.full((1, 2), number)}
  (found,) = relative_weights(weights(1.0), weights(5.0), weights(2.0)).values()
  np.testing.assert_array_equal(found, np.full((1, 2), 1.0 + 5.0 - 2.0))
