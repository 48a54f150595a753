"""Cases at the edge: the last stretch of a clip, boxes that just overlap, and people whose split must never change."""

import types

import numpy as np
import pytest

from data_pipeline import identities, sequences, tracking
from data_pipeline.sampling import Draw, Options
from data_pipeline.synthetic import clip, factors


@pytest.mark.parametrize('frames', [4, 5, 7])
def test_stretches_begin_anywhere_in_a_clip_up_to_the_last_that_fits(frames):
  weights = np.arange(frames, dtype=np.float32)[:, None]
  record = types.SimpleNamespace(av_offset=0)
  shot = types.SimpleNamespace(clip_id='clip', mel=np.zeros((16 * frames, 80), np.float32), record=record)
  population = types.SimpleNamespace(
    clip=lambda number: type('Clip', (), {'__len__': lambda self: frames, **vars(shot)})(),
    motion=types.SimpleNamespace(weights=lambda clip_id: {'pose': weights}),
  )
  found = set()
  for seed in range(60):
    draw = Draw(0, np.random.default_rng(seed))
    example = sequences.pose_sequence(population, draw, Options(size=16, frames=4))
    begin = int(example['pose'][0, 0])
    np.testing.assert_array_equal(example['pose'][:, 0], np.arange(begin, begin + 4))
    found.add(begin)
  assert found == set(range(frames - 3))


class Boxes:
  """A detector that finds one box in every frame, whose left side the frame holds."""

  def boxes(self, frame, thorough=True):
    left = float(frame[0, 0, 0])
    return np.array([[left, 0, left + 100, 100]], np.float32)

  def landmarks_in(self, frame, box):
    return np.zeros((68, 2), np.float32)


@pytest.mark.parametrize('step, tracks', [(52, 1), (58, 1), (62, 2), (70, 2)])
def test_boxes_are_one_face_if_a_quarter_of_what_they_cover_is_common(step, tracks):
  frames = np.zeros((2, 128, 256, 3), np.uint8)
  frames[1, 0, 0, 0] = step  # (100 - 58) / (100 + 58) is 0.27, (100 - 62) / (100 + 62) is 0.23
  assert len(tracking.track_faces(frames, Boxes(), every=1)[0]) == tracks


def test_people_stay_in_the_split_that_they_have_always_had():
  names = [f'{kind}{n:03d}' for kind in 'MW' for n in (3, 5, 7, 9, 11, 12, 13, 19, *range(22, 30))]
  splits = identities.assign_splits(map(identities.Label, [*names, *(f'RD_Radio{k}' for k in range(1, 60))]), {})
  of = lambda split: {name for name, home in splits.items() if home == split}
  assert of('val') == {'W003', 'W025', 'RD_Radio15', 'RD_Radio29', 'RD_Radio32', 'RD_Radio38', 'RD_Radio42'}
  assert of('test') == {
    *('M009', 'W007', 'RD_Radio2', 'RD_Radio8', 'RD_Radio12', 'RD_Radio14', 'RD_Radio16', 'RD_Radio31', 'RD_Radio41')
  }
  many = identities.assign_splits([identities.Label(f'person{k}') for k in range(5000)], {}).values()
  shares = [list(many).count(split) / 5000 for split in ('train', 'val', 'test')]
  np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.02)


def test_wide_mouths_open_no_further_than_jaws_do():
  plan = clip.Plan(clips=1, size=32, seed=0, people=1, frames=50, articulation=3.0)
  opening = clip.take(plan, 0).track[:, factors.COLUMN['opening']]
  assert opening.max() == 1.0 and opening.min() >= 0
