"""Explained variance from gathered codes, against least squares on all of them at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax.stages import population

SIZE, BATCH, BATCHES = 6, 5, 400


@pytest.fixture(scope='module')
def codes():
  """Correlated codes around a mean of their own, float32[BATCHES, BATCH, SIZE]."""
  rng = np.random.default_rng(0)
  mix = rng.normal(size=(SIZE, SIZE)) + 2 * np.eye(SIZE)
  return (rng.normal(size=(BATCHES, BATCH, SIZE)) @ mix + 3).astype(np.float32)


@pytest.fixture(scope='module')
def gathered(codes):
  return functools.reduce(jax.jit(population.gather), jnp.asarray(codes), population.init(SIZE))


def heads(seed, **sizes):
  """Affine maps of the code, as heads are."""
  rng = np.random.default_rng(seed)
  maps = {name: (rng.normal(size=(SIZE, size)), rng.normal(size=size)) for name, size in sizes.items()}
  return lambda x: {
    name: x @ slope.astype(np.float32) + shift.astype(np.float32)[None] for name, (slope, shift) in maps.items()
  }


def test_gathered_codes_have_the_mean_and_covariance_of_all(codes, gathered):
  flat = codes.reshape(-1, SIZE).astype(np.float64)
  assert gathered['count'] == BATCH * BATCHES
  np.testing.assert_allclose(gathered['mean'], flat.mean(0), rtol=1e-5)
  np.testing.assert_allclose(gathered['covariance'], np.cov(flat.T, bias=True), rtol=1e-4, atol=1e-4)


def test_explained_is_what_least_squares_explains(codes, gathered):
  motion = heads(1, expression=3, mouth=2, pose=1)
  many = {**gathered, 'count': 1e9}  # so that the ridge that stands for small populations is nothing
  found = population.explained(many, motion, 'expression', ('mouth', 'pose'))
  weights = {name: np.asarray(values, np.float64) for name, values in motion(codes.reshape(-1, SIZE)).items()}
  told = weights['expression'] - weights['expression'].mean(0)
  telling = np.column_stack([weights['mouth'], weights['pose']])
  telling -= telling.mean(0)
  # Ridge regression as least squares with rows that ask for slopes of zero.
  rows = np.sqrt(population.QUIET * len(telling) * telling.var(0).mean()) * np.eye(3)
  slopes = np.linalg.lstsq(np.concatenate([telling, rows]), np.concatenate([told, np.zeros((3, 3))]), rcond=None)[0]
  expected = np.mean((told * (telling @ slopes)).mean(0) / (told.var(0) + population.FAINT * telling.var(0).mean()))
  assert 0.2 < expected < 0.9 and found == pytest.approx(expected, abs=1e-4)
  assert population.explained(gathered, motion, 'expression', ('mouth', 'pose')) < found


def test_others_that_hold_the_whole_code_explain_all_and_unrelated_ones_nothing(codes, gathered):
  loud = lambda x: {'expression': 2 * x[:, :1], 'mouth': x[:, :1]}
  assert population.explained(gathered, loud, 'expression', ('mouth',)) == pytest.approx(1 / 1.3, abs=0.01)
  faint = lambda x: {'expression': 0.1 * x[:, :1], 'mouth': x[:, :1]}  # of a hundredth of the mouth's variance
  assert population.explained(gathered, faint, 'expression', ('mouth',)) == pytest.approx(0.5 / 1.3, abs=0.01)
  quiet = lambda x: {'expression': x[:, :1], 'mouth': x[:, :2] * np.float32([[0.01, 1]])}
  silent = lambda x: {'expression': x[:, :1], 'mouth': x[:, 1:2]}
  found, rest = (population.explained(gathered, motion, 'expression', ('mouth',)) for motion in (quiet, silent))
  assert found == pytest.approx(float(rest), abs=0.1)  # the ridge is of half the mean variance there
  rest = np.linalg.inv(np.linalg.cholesky(np.asarray(gathered['covariance'], np.float64))).T.astype(np.float32)
  apart = lambda x: {'expression': (x @ rest)[:, :2], 'mouth': (x @ rest)[:, 2:]}
  assert population.explained(gathered, apart, 'expression', ('mouth',)) == pytest.approx(0, abs=1e-4)


def test_nobody_explains_nothing_and_gradients_are_finite_from_the_first_step(codes):
  fresh = population.init(SIZE)
  first = population.gather(fresh, jnp.asarray(codes[0]))

  def told(slope, other, people):
    motion = lambda x: {'expression': x @ slope, 'mouth': x @ other}
    return population.explained(people, motion, 'expression', ('mouth',))

  still, other = jnp.zeros((SIZE, 2)), jnp.ones((SIZE, 3))
  assert told(still, other, fresh) == 0 and told(still, other, first) == 0  # a head at rest, as the stage begins
  for people in (fresh, first):
    of_own, of_others = jax.grad(told, (0, 1))(still + 0.1, other, people)
    assert np.all(np.isfinite(of_own)) and not np.any(of_others)


def test_old_codes_fade_in_very_long_runs(codes):
  old = {**population.init(SIZE), 'count': jnp.float32(population.LONGEST)}
  found = population.gather(old, jnp.asarray(codes[0]))
  assert found['count'] == population.LONGEST
  np.testing.assert_allclose(found['mean'], codes[0].mean(0) * BATCH / population.LONGEST, rtol=1e-5)
