"""Audio encoder and sync expert: sizes, what frames and windows know of one another, BatchNorm's state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from edtalk_jax.networks import audio, sync_expert

MEL = np.random.default_rng(0).uniform(-4, 4, (3, 80, 16)).astype(np.float32)
NORM = audio.BatchNorm()


def _count(variables) -> int:
  return sum(leaf.size for leaf in jax.tree.leaves(variables['params']))


def test_sizes_are_the_official_ones():
  """Of model.md in the golden pack's reference: 2 822 932 and 16 435 072 parameters; one pixel is left at the end."""
  lips = jax.eval_shape(audio.AudioToMouth().init, jax.random.key(0), MEL)
  assert _count(lips) == 2_822_932
  faces = jnp.zeros((3, 5, 96, 96, 3))
  expert = jax.eval_shape(sync_expert.SyncExpert().init, jax.random.key(0), MEL, faces)
  assert _count(expert) == 16_435_072
  out = jax.eval_shape(sync_expert.SyncExpert().apply, expert, MEL, faces)
  assert [embedding.shape for embedding in out] == [(3, 512), (3, 512)]


def test_any_leading_axes_and_nothing_between_frames():
  model = audio.AudioToMouth(features=4, width=0.125)
  variables = jax.jit(model.init)(jax.random.key(0), MEL)
  apply = jax.jit(model.apply)
  weights = apply(variables, MEL)
  assert weights.shape == (3, 4)
  np.testing.assert_allclose(apply(variables, MEL[None, ::-1])[0, ::-1], weights, atol=1e-5)


@pytest.mark.parametrize('shape', [(2, 16, 80), (2, 80, 15)])
def test_other_windows_are_an_error(shape):
  with pytest.raises(ValueError, match=r'expected \[\.\.\., 80, 16\]'):
    jax.eval_shape(audio.AudioToMouth().init, jax.random.key(0), jnp.zeros(shape))


def test_lips_are_stacked_frame_by_frame():
  faces = jnp.arange(2 * 5 * 96 * 96 * 3, dtype=jnp.float32).reshape(2, 5, 96, 96, 3)
  stacked = sync_expert.lower_halves(faces)
  assert stacked.shape == (2, 48, 96, 15)
  assert stacked[1, 2, 7, 3 * 4 + 2] == faces[1, 4, 50, 7, 2]  # third colour of the fifth frame


def test_batch_norm_learns_the_statistics_that_it_then_normalises_with():
  """After many equal batches of n values, running statistics are the mean and the variance with n - 1."""
  x = np.random.default_rng(1).normal(3, 2, (2, 3, 3, 2)).astype(np.float32)
  variables = NORM.init(jax.random.key(0), x, train=True)
  assert float(variables['batch_stats']['mean'].sum()) == 0  # making parameters is no training
  for _ in range(200):
    y, state = NORM.apply(variables, x, train=True, mutable=['batch_stats'])
    variables = {**variables, **state}
  np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
  np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-4)  # epsilon 1e-5 beside a variance of 4
  np.testing.assert_allclose(state['batch_stats']['mean'], x.mean((0, 1, 2)), rtol=1e-5)
  np.testing.assert_allclose(state['batch_stats']['variance'], x.var((0, 1, 2), ddof=1), rtol=1e-5)
  np.testing.assert_allclose(NORM.apply(variables, x, train=False) * np.sqrt(18 / 17), y, atol=1e-4)


def test_statistics_move_only_where_both_sides_ask_for_it():
  model = audio.AudioToMouth(features=2, width=0.125)
  variables = jax.jit(model.init)(jax.random.key(0), MEL)
  apply = jax.jit(model.apply, static_argnames=('train', 'mutable'))
  frozen = apply(variables, MEL, train=False, mutable=('batch_stats',))[1]
  moved = apply(variables, MEL, train=True, mutable=('batch_stats',))[1]
  before, same, other = (flatten_dict(state['batch_stats'], sep='/') for state in (variables, frozen, moved))
  assert len(before) == 2 * len(audio.ENCODER)
  for path, array in before.items():
    np.testing.assert_array_equal(same[path], array)
    assert not np.array_equal(other[path], array), path
  assert not isinstance(apply(variables, MEL, train=True), tuple)  # and without `mutable` the caller gets no state


def test_smoothing_keeps_a_steady_mouth_but_for_the_ends():
  smooth = audio.smooth(jnp.ones((5, 2)))
  np.testing.assert_allclose(smooth[1:-1], 1, rtol=1e-6)
  np.testing.assert_allclose(smooth[::4], 0.726, atol=1e-3)
