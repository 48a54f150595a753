"""Labels told from weights whose quality is known by construction."""

import types

import numpy as np
import pytest

from edtalk_jax.evaluation import emotions
from edtalk_jax.evaluation.emotions import AS_THEY_ARE, FROM_NEUTRAL, Means

LABELS = ('happy', 'neutral', 'sad', 'surprised')
DIRECTIONS = dict(zip(LABELS, ([1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]), strict=True))


def people(seed, count, face):
  """Each person once in every label: 'expression' holds it beside the person's face, 'pose' holds noise."""
  rng = np.random.default_rng(seed)
  labels, who = list(LABELS) * count, [f'{seed}-{k // len(LABELS)}' for k in range(count * len(LABELS))]
  faces = face * rng.normal(size=(count, 3)).repeat(len(LABELS), axis=0)
  shown = np.array([DIRECTIONS[label] for label in labels]) + 0.05 * rng.normal(size=(len(labels), 3))
  return Means({'expression': 3 * (shown + faces) + 7, 'pose': rng.normal(size=(len(labels), 3))}, labels, who)


def test_an_oracle_tells_every_label_and_noise_none():
  found = emotions.tell(people(0, 60, face=0), people(1, 50, face=0))
  assert found.labels == {AS_THEY_ARE: sorted(LABELS), FROM_NEUTRAL: ['happy', 'sad', 'surprised']}
  assert found.fitted_clips == 240
  for view in (AS_THEY_ARE, FROM_NEUTRAL):
    assert found.accuracy['expression'][view].mean == 1  # directions are 20 deviations of the noise apart
    noise, chance = found.accuracy['pose'][view], 1 / len(found.labels[view])
    # 150 or 200 clips guessed at random: 4 standard deviations of their share are at most 0.16.
    assert abs(noise.mean - chance) < 0.16


def test_what_a_person_looks_like_goes_with_the_neutral_clip():
  found = emotions.tell(people(0, 60, face=2), people(1, 50, face=2)).accuracy['expression']
  assert found[AS_THEY_ARE].mean < 0.7 and found[FROM_NEUTRAL].mean == 1


def test_people_without_a_neutral_clip_are_left_out():
  means = Means({'expression': np.eye(3)}, ['happy', 'neutral', 'happy'], ['a', 'b', 'b'])
  left = means.from_neutral()
  assert (left.labels, left.people) == (['happy'], ['b'])
  np.testing.assert_array_equal(left.weights['expression'], [[0, -1, 1]])


def test_nothing_is_told_where_there_is_nothing_to_tell():
  unlabelled = Means({'expression': np.zeros((0, 3))}, [], [])
  assert emotions.tell(people(0, 4, face=0), unlabelled) is None


def test_what_is_not_told_is_said():
  whole = people(0, 4, face=0)
  assert emotions.unmeasured(emotions.tell(whole, people(1, 4, face=0))) == []
  moved = [k for k, label in enumerate(whole.labels) if label != 'neutral']
  pick = lambda values: [values[k] for k in moved]
  without = Means({space: w[moved] for space, w in whole.weights.items()}, pick(whole.labels), pick(whole.people))
  (line,) = emotions.unmeasured(emotions.tell(whole, without))
  assert 'from neutral' in line
  (line,) = emotions.unmeasured(None)
  assert 'fewer than two labels' in line


def test_only_labelled_clips_are_read():
  infos = [
    types.SimpleNamespace(clip_id=f'c{k}', identity=f'p{k}', frames=4, emotion='sad' if k else '') for k in range(3)
  ]

  class Clips(list):
    pass

  frame = lambda k: lambda j, size: np.full((size, size, 3), 10 * k + j)
  clips = Clips(types.SimpleNamespace(frame=frame(k)) for k in range(3))
  clips.infos = infos
  model = types.SimpleNamespace(
    banks=('mouth',), image_size=2, motion=lambda images: {'mouth': images[:, :1, 0, 0].astype(float)}
  )
  means = emotions.read(model, clips, count=0, frames=2, seed=0)
  assert sorted(zip(means.people, means.weights['mouth'][:, 0], strict=True)) == [('p1', 11.5), ('p2', 21.5)]
  assert means.labels == ['sad', 'sad']


def test_the_discriminant_minds_how_weights_vary_together():
  """Two labels that differ along the narrow side of one long cloud, which distances alone do not see."""
  rng = np.random.default_rng(0)
  cloud = rng.normal(size=(400, 2)) * [10, 0.3] @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
  labels = np.repeat(['a', 'b'], 200)
  cloud[200:] += [-1.0, 1.0]
  found = emotions.discriminant(cloud[::2], labels[::2], cloud[1::2], ('a', 'b'))
  assert np.mean(np.array(found) == labels[1::2]) == pytest.approx(1, abs=0.03)
