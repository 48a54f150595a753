"""The pose flow: exact inverse and density, what depends on what, and samples of any length."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax.animation import pose_sampling
from edtalk_jax.networks.pose_flow import PoseFlow
from edtalk_jax.ops import flow

FLOW = PoseFlow(channels=3, steps=3, hidden=8, layers=2, condition=4)
FEATURES = 5


@functools.cache
def params(module=FLOW):
  """Parameters as if trained: no coupling is the identity any more."""
  inputs = jnp.zeros((1, 2, module.channels)), jnp.zeros((1, 2, FEATURES)), jnp.zeros((1, module.channels))
  drawn = jax.jit(module.init)(jax.random.key(0), *inputs, jnp.ones((1, 2), bool))['params']
  leaves, tree = jax.tree.flatten(drawn)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  moved = [x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
  steady = jnp.stack([0.8 * jnp.eye(module.channels), -0.2 * jnp.eye(module.channels)])  # nothing runs away
  return {**jax.tree.unflatten(tree, moved), 'predictor': steady}


def apply(*inputs, method=None, module=FLOW):
  return _apply(module, params(module), *inputs, method=method)


@functools.partial(jax.jit, static_argnums=0, static_argnames='method')
def _apply(module, params, *inputs, method=None):
  return module.apply({'params': params}, *inputs, method=method)


@functools.cache
def inputs(frames=7, channels=3):
  rng = np.random.default_rng(0)
  draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
  return draw(2, frames, channels), draw(2, frames, FEATURES), draw(2, channels)


def test_the_inverse_is_exact():
  x, sound, first = inputs()
  valid = jnp.ones(x.shape[:2], bool)
  known = apply(sound, first, valid, method='known')
  z, _ = apply(x, known, valid, method='forward')
  assert float(jnp.max(jnp.abs(z - x))) > 0.5  # something happened
  assert float(jnp.max(jnp.abs(apply(z, known, valid, method='inverse') - x))) < 1e-4


@pytest.mark.parametrize('length', [7, 4])
def test_the_change_of_volume_is_the_jacobians(length):
  x, sound, first = inputs()
  valid = jnp.broadcast_to(jnp.arange(7) < length, (2, 7))

  def forward(frames):
    return apply(x.at[1, :length].set(frames), sound, first, valid)[0][1, :length]

  jacobian = jax.jacfwd(forward)(x[1, :length]).reshape(length * 3, length * 3)
  change = apply(x, sound, first, valid)[1][1, :length]
  assert float(jnp.abs(jnp.sum(change))) > 0.1
  np.testing.assert_allclose(jnp.sum(change), np.linalg.slogdet(jacobian)[1], atol=1e-4)


def test_the_density_integrates_to_one():
  module = PoseFlow(channels=2, steps=2, hidden=8, layers=1, condition=4)
  side = jnp.linspace(-25, 25, 401)  # of a density some units wide
  grid = jnp.stack(jnp.meshgrid(side, side), -1).reshape(-1, 1, 2)
  count, valid = len(grid), jnp.ones((len(grid), 1), bool)
  _, sound, first = inputs(1, 2)
  tell = lambda value: jnp.broadcast_to(value[:1], (count, *value.shape[1:]))
  z, change = apply(grid, tell(sound), tell(first), valid, module=module)
  density = jnp.exp(flow.normal_log_density(z) + change)
  assert float(jnp.sum(density)) * float(side[1] - side[0]) ** 2 == pytest.approx(1.0, abs=0.01)


def test_frames_beyond_the_end_change_nothing():
  x, sound, first = inputs()
  whole = apply(x[:, :4], sound[:, :4], first, jnp.ones((2, 4), bool))
  padded = apply(x, sound, first, jnp.broadcast_to(jnp.arange(7) < 4, (2, 7)))
  for one, other in zip(whole, padded, strict=True):
    np.testing.assert_allclose(one, other[:, :4], atol=1e-5)


def test_it_begins_as_noise_of_variance_one():
  x, sound, _ = inputs(40)
  valid = jnp.broadcast_to(jnp.arange(40) < 30, (2, 40))
  weights = jnp.where(valid[..., None], 5 + 0.1 * jnp.cumsum(x, 1), 1e6)
  fresh = jax.jit(FLOW.init)(jax.random.key(0), x, sound, x[:, 0], valid)['params']
  found = _apply(FLOW, fresh, weights, sound, valid, method='start')
  begun = {
    **fresh,
    **{name: found[name] for name in ('mean', 'deviation', 'predictor')},
    'stacked': {**fresh['stacked'], 'log_scale': found['stacked/log_scale'], 'shift': found['stacked/shift']},
  }
  standard = _apply(FLOW, begun, weights, method='standardise')
  left = _apply(FLOW, begun, standard, method='innovations')
  assert np.asarray(left)[np.asarray(valid)[:, 1:]].std() < 0.5  # a walk is mostly predicted by where it was
  z, _ = _apply(FLOW, begun, left, sound[:, 1:], standard[:, 0], valid[:, 1:])
  seen = np.asarray(z)[np.asarray(valid)[:, 1:]]
  np.testing.assert_allclose(np.abs(np.linalg.eigvalsh(np.cov(seen.T, bias=True))).mean(), 1, atol=0.35)
  np.testing.assert_allclose(np.asarray(standard)[np.asarray(valid)].std(0), 1, atol=1e-3)


def samples(count=60, module=FLOW, **options):
  sound = np.random.default_rng(1).normal(size=(count, FEATURES)).astype(np.float32)
  return pose_sampling.sample(module, params(), sound, np.ones(3, np.float32), **options)


class ShortReach(PoseFlow):
  """The same flow, which says that frames depend on less than they do."""

  @property
  def reach(self):
    return 2


def test_a_sample_in_chunks_is_the_whole():
  whole = samples()
  # The same sums in other orders: float32, of numbers of order 1 to 10.
  np.testing.assert_allclose(samples(chunk=17), whole, atol=2e-5 * np.abs(whole).max())
  too_short = ShortReach(channels=3, steps=3, hidden=8, layers=2, condition=4)
  np.testing.assert_array_equal(samples(module=too_short), whole)
  assert np.abs(samples(module=too_short, chunk=17) - whole).max() > 1e-2


@pytest.mark.parametrize('chunk', [17, 48, 60])
def test_a_sample_of_sound_in_pieces_is_that_of_the_whole(chunk):
  sound = np.random.default_rng(1).normal(size=(60, FEATURES)).astype(np.float32)
  pieces = iter(np.split(sound, [0, 1, 7, 31, 31]))
  found = pose_sampling.sample(FLOW, params(), pieces, np.ones(3, np.float32), chunk=chunk)
  np.testing.assert_array_equal(found, samples(chunk=chunk))


def test_samples_differ_by_seed_and_temperature_and_leave_the_given_pose():
  one = samples()
  assert np.abs(samples(seed=1) - one).mean() > 0.2
  np.testing.assert_array_equal(samples(), one)
  np.testing.assert_array_equal(samples(temperature=0.0), samples(seed=1, temperature=0.0))
  np.testing.assert_array_equal(one[0], 1)  # the given pose
  assert len(samples(count=1)) == 1
