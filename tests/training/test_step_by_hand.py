"""One step of the toy in plain terms: metrics are means over examples, gradients are theirs, moments go on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from edtalk_jax.training import state as state_lib
from edtalk_jax.training import step, trees
from tests.faults import toy

STAGE = toy.stage()
B1, B2 = 0.5, 0.9
OPTIMIZER = optax.adam(1e-2, b1=B1, b2=B2)


@jax.jit
def gradients(state, batch):
  return step.gradients(state.model, state.discriminator, {}, batch, stage=STAGE)


@jax.jit
def train(state, batch):
  optimizers = {'model_optimizer': OPTIMIZER, 'discriminator_optimizer': OPTIMIZER}
  return step.train_step(state, {}, batch, stage=STAGE, **optimizers)


@pytest.fixture(scope='module')
def first():
  return state_lib.create(STAGE.init(jax.random.key(0)), STAGE.trainable, OPTIMIZER, OPTIMIZER)


def test_metrics_are_means_over_the_examples_and_a_loss_is_their_sum(first):
  batch = toy.batch(0)
  terms, images = STAGE.model_losses(first.model, first.discriminator, {}, batch)
  judged = STAGE.discriminator_losses(first.discriminator, images)
  found = gradients(first, batch).metrics
  for name, values in {**terms, **judged}.items():
    assert values.shape == (8,)
    np.testing.assert_allclose(found[name], np.mean(values), rtol=1e-5, err_msg=name)
  np.testing.assert_allclose(found['loss'], sum(np.mean(values) for values in terms.values()), rtol=1e-5)
  np.testing.assert_allclose(found['discriminator_loss'], sum(np.mean(v) for v in judged.values()), rtol=1e-5)


def test_examples_twice_have_the_gradients_of_examples_once(first):
  batch = toy.batch(0)
  once, twice = (gradients(first, jax.tree.map(lambda a, n=n: np.concatenate([a] * n), batch)) for n in (1, 2))
  for one, other in ((once.model, twice.model), (once.discriminator, twice.discriminator)):
    assert all(np.abs(leaf).max() > 1e-6 for leaf in one.values())
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-7), one, other)


def test_moments_are_adams_over_all_steps(first):
  second, _ = train(first, toy.batch(0))
  third, _ = train(second, toy.batch(1))
  assert int(third.step) == 2
  found = [gradients(state, toy.batch(seed)) for seed, state in enumerate((first, second))]
  for name, moments in (('model', third.model_moments), ('discriminator', third.discriminator_moments)):
    one, two = (getattr(gradient, name) for gradient in found)
    adam = moments[0]
    assert int(adam.count) == 2
    for path in one:
      mean = (1 - B1) * (B1 * one[path] + two[path])
      square = (1 - B2) * (B2 * jnp.square(one[path]) + jnp.square(two[path]))
      np.testing.assert_allclose(adam.mu[path], mean, rtol=1e-4, atol=1e-8)
      np.testing.assert_allclose(adam.nu[path], square, rtol=1e-4, atol=1e-10)
      change = trees.flatten(getattr(third, name))[path] - trees.flatten(getattr(second, name))[path]
      wanted = -1e-2 * (mean / (1 - B1**2)) / (np.sqrt(square / (1 - B2**2)) + 1e-8)
      np.testing.assert_allclose(change, wanted, rtol=1e-2, atol=1e-6)
