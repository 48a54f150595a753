import numpy as np
import pytest

from edtalk_jax.evaluation.statistics import by_identity


def test_every_identity_counts_once():
  many = [np.full(50, 10.0)] * 9 + [np.full(5, 20.0)]
  interval = by_identity(many, ['a'] * 9 + ['b'])
  assert interval.mean == 15
  assert (interval.low, interval.high) == (10, 20)
  assert (interval.identities, interval.frames, interval.missing) == (2, 455, 0)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
  rng = np.random.default_rng(0)
  hits = 0
  for seed in range(200):
    values = rng.normal(3.0, 1.0, size=(30, 1))
    interval = by_identity(list(values), [f'p{i}' for i in range(30)], resamples=500, seed=seed)
    hits += interval.low <= 3.0 <= interval.high
  # Binomial with p about 0.94 (percentile intervals of 30 values are slightly short): 4 deviations are 0.07.
  assert 0.87 <= hits / 200 <= 1.0


def test_missing_frames_are_counted_and_left_out():
  interval = by_identity([np.array([1.0, np.nan]), np.array([np.nan])], ['a', 'b'])
  assert (interval.mean, interval.identities, interval.frames, interval.missing) == (1.0, 1, 1, 2)
  nothing = by_identity([np.array([np.nan])], ['a'])
  assert np.isnan(nothing.mean) and nothing.frames == 0


def test_lengths_must_agree():
  with pytest.raises(ValueError, match='1 arrays of values for 2 identities'):
    by_identity([np.ones(1)], ['a', 'b'])
