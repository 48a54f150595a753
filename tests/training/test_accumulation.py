"""A batch in parts gives what the whole batch gives, and what would not is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import ops, stages
from edtalk_jax.config import Config, DataConfig, MeshConfig, OptimizerConfig, UserError
from edtalk_jax.training import accumulation, feed, optimizers, programs, sharding, trees
from edtalk_jax.training import state as state_lib
from edtalk_jax.training.accumulation import Parts
from tests import compiled, tiny
from tests.faults import toy


def test_parts_are_interleaved_and_merge_again():
  batch = {'x': np.arange(12).reshape(6, 2)}
  parts = Parts(3).split(batch)
  np.testing.assert_array_equal(parts['x'][1], batch['x'][[1, 4]])
  np.testing.assert_array_equal(Parts(3).merge(parts)['x'], batch['x'])


def statistics(x):
  """The minibatch statistic of x[batch, views, ...], float32[batch, views], as the discriminator takes it."""
  batch, views = x.shape[:2]
  official = x.swapaxes(0, 1).reshape(batch * views, *x.shape[2:])
  return ops.minibatch_stddev(official, 4)[:, 0, 0, -1].reshape(views, batch).T


def check(batch, count, judged_views, shares=1, over_batch=''):
  config = Config(data=DataConfig(batch_size=batch), optimizer=OptimizerConfig(accumulate=count))
  stage = dataclasses.replace(toy.stage(), judged_views=judged_views, over_batch=over_batch)
  accumulation.check(config, stage, shares)


@pytest.mark.parametrize(
  ('batch', 'views', 'count'),
  [
    (16, 1, 4),
    (8, 1, 4),
    (8, 2, 4),
    (4, 2, 4),
    (4, 4, 4),
    (2, 4, 2),
    (6, 1, 2),
    (6, 2, 2),
    (12, 1, 3),
    (10, 2, 5),
  ],
)
def test_groups_stay_whole_just_where_the_check_says_so(batch, views, count):
  x = jax.random.normal(jax.random.key(0), (batch, views, 2, 2, 3))
  parts = Parts(count)
  found = parts.merge(jnp.stack([statistics(part) for part in parts.split(x)]))
  error = np.abs(found - statistics(x)).max()
  try:
    check(batch, count, (views,))
  except UserError:
    assert error > 1e-2
  else:
    assert error < 1e-6


def test_what_would_change_the_result_is_one_clear_line():
  with pytest.raises(
    UserError,
    match=r'optimizer\.accumulate=4 would divide the minibatch-stddev groups of 4 in a '
    r'batch of 8 x 1 pictures; choose a divisor of 2',
  ):
    check(8, 4, (1,))
  with pytest.raises(UserError, match=r'optimizer\.accumulate=2: data\.batch_size=8 must be .* 16, .* 8 shares'):
    check(8, 2, (1,), shares=8)
  with pytest.raises(UserError, match=r'accumulate=2: loss\.correlation takes statistics of the whole batch'):
    check(8, 2, (1,), over_batch='loss.correlation')
  check(8, 4, (4, 2))  # mouth_pose: groups are within two examples


def settings(stage: str, batch: int) -> Config:
  config = tiny.config(stage, channel_max=8)
  # An epsilon above all gradients makes the step almost proportional to them. (Adam's usual step is their sign: where
  # they are all but zero, rounding would decide.)
  smooth = OptimizerConfig(learning_rate=1.0, epsilon=100.0)
  return dataclasses.replace(config, optimizer=smooth, data=dataclasses.replace(config.data, batch_size=batch))


def one_step(config: Config, params: dict, accumulate: int, devices: int, fsdp: int = 1):
  """State and metrics after one step from the same parameters on the same batch."""
  config = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, accumulate=accumulate))
  mesh = sharding.make_mesh(MeshConfig(fsdp=fsdp), jax.devices()[:devices])
  stage = stages.build(config)
  parts = programs.build(config, stage, mesh)
  with jax.set_mesh(mesh):
    state = state_lib.create(params, stage.trainable, **optimizers.both(config))
    state = jax.device_put(state, jax.tree.map(lambda shape: shape.sharding, parts.shapes))
    frozen = parts.place_frozen(compiled.frozen(config))
    batch = feed.to_device(tiny.batch(config), sharding.batch_sharding(mesh))
    return jax.device_get(parts.train(state, frozen, batch))


@pytest.mark.parametrize(
  ('stage', 'cut'),
  [
    ('mouth_pose', (2, 8, 4)),  # parts, devices, fsdp
    pytest.param('expression', (4, 1, 1), marks=pytest.mark.release),
  ],
)
def test_a_step_in_parts_equals_the_whole(stage, cut):
  """Both networks' parameters after one step, and every metric, in parts on a mesh of eight and on one device."""
  config = settings(stage, 16)
  params = compiled.params(config)
  whole, metrics = one_step(config, params, 1, devices=1)
  accumulate, devices, fsdp = cut
  found, its_metrics = one_step(config, params, accumulate, devices, fsdp)
  where = f'{accumulate} parts on {devices} devices, fsdp {fsdp}'
  for name, value in metrics.items():
    np.testing.assert_allclose(its_metrics[name], value, rtol=1e-4, err_msg=f'{where}: {name}')
  for network in ('model', 'discriminator'):
    before, after = trees.flatten(getattr(whole, network)), trees.flatten(getattr(found, network))
    # A mesh and a batch in parts add up the same float32 numbers in another order; see test_sharding. Rounding also
    # decides on which side of its kink a unit falls, which was 1.3e-4 of the gradient on one kind of processor; one
    # of the 16 examples left out or counted twice would be some 6e-2.
    scale = float(metrics[f'grad_norm/{network}']) / 100
    for path, array in before.items():
      assert np.linalg.norm(after[path] - array) / scale < 1e-3, f'{where}: {path}'
