"""Statistics that move without a gradient: with an update, never without one, and over the global batch on any mesh."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax.config import UserError
from edtalk_jax.networks.audio import MOMENTUM, BatchNorm
from edtalk_jax.stages.stage import MOVED, WATCHED, Stage
from edtalk_jax.training import accumulation, programs, sharding, step
from tests import tiny

CONFIG = tiny.config()
NORM = BatchNorm()
DRAW = np.random.default_rng(0).normal(2, 3, (8, 5, 3)).astype(np.float32)


def stage() -> Stage:
  """Normalises the field 'sequence' and moves its mean to one."""

  def init(key):
    return {'model': {'norm': dict(NORM.init(key, DRAW, train=True))}, 'discriminator': {}}

  def losses(model, discriminator, frozen, batch, train=True):
    y, state = NORM.apply(model['norm'], batch['sequence'], train=train, mutable=['batch_stats'])
    distance = jnp.mean((y - 1) ** 2, (1, 2))
    return {'distance': distance}, {MOVED: {'norm': state}, WATCHED: {'largest': jnp.max(jnp.abs(y), (1, 2))}}

  return Stage(
    name='moving',
    sampler='reconstruction',
    starts_from=None,
    trainable='^norm/params/',
    init=init,
    init_frozen=dict,
    model_losses=losses,
    over_batch='BatchNorm',
    arrays={'sequence': jax.ShapeDtypeStruct((5, 3), np.float32)},
    moving='^norm/batch_stats/',
    validation_losses=lambda *arguments: losses(*arguments, train=False),
  )


@functools.cache
def built(devices):
  return programs.build(CONFIG, stage(), sharding.make_mesh(CONFIG.mesh, jax.devices()[:devices]))


def train(batches, devices=1):
  parts = built(devices)
  with jax.set_mesh(parts.mesh):
    state = parts.init(jax.random.key(0))
    for sequence in batches:
      batch = {'sequence': jax.device_put(sequence, sharding.batch_sharding(parts.mesh))}
      state, metrics = parts.train(state, {}, batch)
  return jax.device_get(state), jax.device_get(metrics) if batches else {}


@pytest.mark.parametrize('devices', [1, 4])
def test_statistics_of_the_global_batch_move_with_the_update(devices):
  state, metrics = train([DRAW], devices)
  statistics = state.model['norm']['batch_stats']
  # Another mesh adds 40 numbers of order 3 in another order.
  np.testing.assert_allclose(statistics['mean'], MOMENTUM * DRAW.mean((0, 1)), rtol=1e-5)
  np.testing.assert_allclose(statistics['variance'], 1 + MOMENTUM * (DRAW.var((0, 1), ddof=1) - 1), rtol=1e-5)
  assert not np.array_equal(state.model['norm']['params']['bias'], np.zeros(3))
  assert not any('batch_stats' in str(path) for path, _ in jax.tree.leaves_with_path(state.model_moments))
  # What is watched is logged and adds nothing to the loss.
  assert metrics['largest'] > 1 and metrics['loss'] == metrics['distance']


def test_a_skipped_update_leaves_them_as_they_were():
  before, _ = train([DRAW])
  bad = DRAW.copy()
  bad[3] = np.nan
  after, metrics = train([DRAW, bad])
  assert metrics['guard/skipped'] == 1
  jax.tree.map(np.testing.assert_array_equal, before.model, after.model)


def test_validation_takes_the_running_ones():
  state, _ = train([])
  found = step.validation_step(state.model, {}, {}, {'sequence': DRAW}, stage=stage())
  # Fresh ones are mean 0 and variance 1, which leave the numbers alone.
  np.testing.assert_allclose(found['loss'], np.mean((DRAW - 1) ** 2), rtol=1e-4)


def test_a_batch_in_parts_is_refused():
  config = dataclasses.replace(CONFIG, optimizer=dataclasses.replace(CONFIG.optimizer, accumulate=2))
  with pytest.raises(UserError, match='BatchNorm takes statistics of the whole batch'):
    accumulation.check(config, stage(), 1)
