"""Measures of the audio stages on scores and tracks whose answers are known."""

import numpy as np
import pytest

from edtalk_jax.evaluation import audio_to_mouth, ranking, sync_expert
from edtalk_jax.evaluation.audio_to_mouth import Track


def test_auc_counts_pairs_and_ties_half():
  assert ranking.auc(np.array([3.0, 2.0]), np.array([1.0, 2.0])) == (2 + 1.5) / 4
  assert ranking.auc(np.array([0.0]), np.array([1.0, 2.0])) == 0
  assert np.isnan(ranking.auc(np.array([]), np.array([1.0])))


def test_auc_interval_is_over_people():
  """One person of two is told apart, the other is told wrong: resampled people give all or nothing."""
  found = ranking.auc_by_identity([np.ones(5), np.zeros(5)], [np.zeros(5), np.ones(5)], ['a', 'b'])
  assert (found.mean, found.low, found.high, found.identities) == (0.5, 0, 1, 2)


@pytest.mark.parametrize('late', [0, 2, -3])
def test_the_best_offset_is_by_how_much_the_sound_is_late(late):
  """Lips of window i agree with sound that begins `late` frames later."""
  agreement = np.full((20, 20), 0.2)
  for i in range(20):
    if 0 <= i + late < 20:
      agreement[i, i + late] = 0.9
  assert sync_expert.best_offset(agreement) == late


def test_shifted_scores_are_those_far_enough_and_within_reach():
  agreement = np.subtract.outer(np.arange(30), np.arange(30)).astype(float)
  found = np.abs(sync_expert.shifted(agreement))
  assert (found.min(), found.max()) == (3, 15)
  np.testing.assert_array_equal(sync_expert.at_offset(agreement, 4), np.full(26, -4.0))


def tracks(heard):
  """Four people; the opening is the first of three mouth weights, beside a constant of the person's own."""
  draw, found = np.random.default_rng(0), []
  for number in range(4):
    seen = draw.normal(size=(40, 3))
    found.append(Track(f'clip{number}', f'person{number % 2}', seen[:, 0], seen + 10 * number, heard(seen), None, None))
  return found


def test_a_jaw_that_is_heard_right_correlates_and_one_of_another_time_does_not():
  found = tracks(lambda seen: seen - 3)
  read = audio_to_mouth.openings(found)
  for track, values in zip(found, read['heard'], strict=True):
    assert audio_to_mouth.correlation(values, track.opening) > 0.99
    # 40 independent frames: a correlation by chance has a standard deviation of 0.16.
    assert abs(audio_to_mouth.correlation(np.roll(values, 20), track.opening)) < 0.6
  assert np.isnan(read['painted'][0]).all()
  assert np.isnan(audio_to_mouth.correlation(read['painted'][0], found[0].opening))


def test_a_jaw_that_stands_still_has_no_correlation():
  assert np.isnan(audio_to_mouth.correlation(np.zeros(5), np.arange(5.0)))
