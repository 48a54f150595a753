"""The motion spaces: orthonormal, ordered, and frozen exactly where they should be."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax.networks import Navigation, direction, directions, relative_weights
from tests.networks.tiny import CONFIG

MODEL = Navigation(CONFIG)
CODE = jax.random.normal(jax.random.key(1), (3, CONFIG.style_dim))


def _all(module, code):
  return module.weights(code), module.basis()


VARIABLES = MODEL.init(jax.random.key(0), CODE, method=_all)


def _with_bank(name: str, value: jax.Array):
  return {'params': {**VARIABLES['params'], 'banks': {**VARIABLES['params']['banks'], name: value}}}


def test_weights_have_the_sizes_of_the_banks():
  weights = MODEL.apply(VARIABLES, CODE, method='weights')
  assert {name: w.shape for name, w in weights.items()} == {'mouth': (3, 4), 'pose': (3, 3), 'expression': (3, 2)}


def test_heads_at_rest_tell_nothing_yet_and_all_else_is_drawn_as_ever():
  resting = Navigation(dataclasses.replace(CONFIG, head_init=0.0))
  variables = resting.init(jax.random.key(0), CODE, method=_all)
  assert all(not np.any(w) for w in resting.apply(variables, CODE, method='weights').values())
  last = f'linear_{CONFIG.head_layers - 1}'
  leaves = jax.tree_util.tree_leaves_with_path(variables)
  for (path, value), drawn in zip(leaves, jax.tree.leaves(VARIABLES), strict=True):
    keys = [key.key for key in path]
    resting_kernel = 'heads' in keys and keys[-2:] == [last, 'kernel']
    np.testing.assert_array_equal(value, 0 * drawn if resting_kernel else drawn)


def test_weights_are_affine_in_the_code():
  weights = lambda code: MODEL.apply(VARIABLES, code, method='weights')['mouth']
  np.testing.assert_allclose(weights(CODE) + weights(-CODE), 2 * weights(0 * CODE), atol=1e-5)  # a few roundings


def test_directions_of_different_banks_are_orthogonal_and_as_long_as_the_weights():
  weights, basis = MODEL.apply(VARIABLES, CODE, method=_all)
  shifts = directions(weights, basis, CONFIG)
  for name, shift in shifts.items():
    np.testing.assert_allclose(np.linalg.norm(shift, axis=1), np.linalg.norm(weights[name], axis=1), rtol=1e-5)
  np.testing.assert_allclose(jnp.einsum('bd,bd->b', shifts['mouth'], shifts['pose']), 0, atol=1e-5)
  np.testing.assert_allclose(direction(weights, basis, CONFIG), sum(shifts.values()), rtol=1e-6)


def test_a_later_bank_leaves_the_earlier_columns_bit_for_bit():
  other = jax.random.normal(jax.random.key(7), VARIABLES['params']['banks']['expression'].shape)
  basis = MODEL.apply(VARIABLES, method='basis')
  moved = MODEL.apply(_with_bank('expression', other), method='basis')
  np.testing.assert_array_equal(basis[:, :7], moved[:, :7])
  assert np.abs(basis[:, 7:] - moved[:, 7:]).max() > 0.1


def test_frozen_banks_get_no_gradient():
  def loss(banks, frozen):
    variables = {'params': {**VARIABLES['params'], 'banks': banks}}
    basis = MODEL.apply(variables, frozen, method='basis')
    return jnp.sum(basis * jnp.arange(basis.size).reshape(basis.shape))

  gradients = jax.grad(loss)(VARIABLES['params']['banks'], ('mouth', 'pose'))
  assert not gradients['mouth'].any() and not gradients['pose'].any() and gradients['expression'].any()
  # The expression bank's own gradient is the one it has when all banks train.
  free = jax.grad(loss)(VARIABLES['params']['banks'], ())
  np.testing.assert_array_equal(gradients['expression'], free['expression'])
  assert free['mouth'].any()


def test_frozen_banks_come_first():
  with pytest.raises(ValueError, match='frozen must be the first of the banks mouth, pose, expression, got pose'):
    MODEL.apply(VARIABLES, ('pose',), method='basis')


def test_directions_of_some_banks_only():
  weights, basis = MODEL.apply(VARIABLES, CODE, method=_all)
  alone = directions({'pose': weights['pose']}, basis, CONFIG)
  np.testing.assert_array_equal(alone['pose'], directions(weights, basis, CONFIG)['pose'])
  assert set(alone) == {'pose'}


@pytest.mark.parametrize(
  ('weights', 'message'),
  [({'eye': jnp.zeros((1, 2))}, 'eye'), ({'pose': jnp.zeros((1, 4))}, r'pose have shape \(1, 4\), expected')],
)
def test_directions_reject_what_the_model_lacks(weights, message):
  with pytest.raises(ValueError, match=message):
    directions(weights, MODEL.apply(VARIABLES, method='basis'), CONFIG)


def test_relative_motion_of_an_unmoved_driver_is_the_source():
  source, driver = (MODEL.apply(VARIABLES, code, method='weights') for code in (CODE, 2 * CODE))
  moved = relative_weights(source, driver, driver)
  for name in moved:
    np.testing.assert_array_equal(moved[name], source[name])


def test_without_orthogonality_vectors_keep_their_directions_at_unit_length():
  raw = dataclasses.replace(CONFIG, orthonormal=False)
  basis = Navigation(raw).apply(VARIABLES, method='basis')
  vectors = np.concatenate([VARIABLES['params']['banks'][name] for name, _ in CONFIG.banks], axis=1)
  np.testing.assert_allclose(basis, vectors / np.linalg.norm(vectors, axis=0), rtol=1e-5)
  overlap = basis.T @ basis - np.eye(basis.shape[1])
  assert np.abs(overlap).max() > 0.1  # random vectors of 32 numbers are far from orthogonal
