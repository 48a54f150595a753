"""What `benchmarks.corpus` makes of landmarks and sounds whose differences are known."""

import numpy as np
import pytest

from benchmarks import corpus
from tests.data_pipeline import videos


def pair(video, ours, theirs, curve=None, shift=0, sync='ok'):
  return corpus.Pair(video, ours, theirs, np.ones(len(ours), bool), curve, sync, shift)


def test_a_bias_of_points_is_told_from_noise():
  theirs = np.float64(videos.face_landmarks(400, 256))
  noise = np.random.default_rng(0).normal(size=theirs.shape)  # whose median length is sqrt(2 ln 2)
  ours = theirs + noise
  ours[:, 17:27, 1] += 4
  table = corpus.distances([pair('a', ours, theirs)])
  assert table['brows'] == pytest.approx((4.2, 1.18, 0, 4), abs=0.15)
  assert table['eyes'] == pytest.approx((1.18, 1.18, 0, 0), abs=0.05)


def test_biases_are_those_of_an_upright_face():
  theirs = np.float64(videos.face_landmarks(10, 256))
  ours = theirs + np.float64([0, 3])
  quarter = np.array([[0, -1], [1, 0]])  # turned to the right, y being down
  table = corpus.distances([pair('a', ours @ quarter.T, theirs @ quarter.T)])
  assert table['all'] == pytest.approx((3, 0, 0, 3), abs=1e-6)


def test_offsets_are_those_of_trusted_clips_that_their_authors_are_sure_of():
  peak = lambda lag, height: height * (lag == corpus.synchrony.LAGS).astype(float)
  points = videos.face_landmarks(100, 256)
  found = [
    pair('a', points, points, peak(4, 0.6), 4),
    pair('b', points, points, peak(2, 0.1), 2),
    pair('c', points, points, peak(3, 0.6), 3, sync='unverified'),
    pair('d', points, points),
  ]
  assert [(offset.whole, p.video) for offset, p in corpus.offsets(found, 0.3)] == [(4, 'a')]
  assert [p.video for _, p in corpus.offsets(found, 0.05)] == ['a', 'b']
