import random

import pytest

from edtalk_jax.evaluation import protocols
from edtalk_jax.evaluation.protocols import ClipInfo

CLIPS = [ClipInfo(f'clip{i:02d}', f'person{i % 4}', 10 + i) for i in range(12)]


def test_same_clip_drives_every_later_frame():
  drivings = protocols.same_clip(CLIPS, count=0, frames=0, seed=0)
  assert sorted(d.source for d in drivings) == list(range(12))
  for d in drivings:
    assert d.source == d.mouth == d.pose
    assert d.frames == tuple(range(1, CLIPS[d.source].frames))


def test_capped_frames_are_even_and_reach_both_ends():
  driving = protocols.same_clip(CLIPS[:1], count=0, frames=4, seed=0)[0]
  assert driving.frames == (1, 4, 6, 9)


def test_capped_clips_cover_identities_first():
  for choose in (protocols.same_clip, protocols.cross):
    chosen = choose(CLIPS, count=4, frames=2, seed=3)
    assert len({CLIPS[d.source].identity for d in chosen}) == 4


def test_people_come_one_after_the_other_with_every_label():
  labels = ['sad' if i < 8 else '' for i in range(12)]  # of each person's three clips two and one
  choose = lambda **how: protocols.by_person(CLIPS, labels, **{'frames': 2, 'each': 0, 'seed': 0, **how})
  for count, people in ((0, 4), (11, 3), (7, 2), (6, 2), (2, 1)):
    chosen = [CLIPS[i].identity for i, _ in choose(count=count)]
    assert len(set(chosen)) == people and len(chosen) == 3 * people
  assert choose(count=9)[:3] == choose(count=3) != choose(count=3, seed=2)
  assert all(len(frames) == 2 for _, frames in choose(count=9))
  two = [i for i, _ in choose(count=0, each=2)]
  assert len(two) == 8 and sorted(labels[i] for i in two) == 4 * [''] + 4 * ['sad']
  assert [labels[i] for i, _ in choose(count=0, each=1)] == 4 * ['']


def test_cross_driving_takes_three_people():
  drivings = protocols.cross(CLIPS, count=0, frames=5, seed=0)
  assert len(drivings) == len(CLIPS)
  for d in drivings:
    assert len({CLIPS[i].identity for i in (d.source, d.mouth, d.pose)}) == 3
    assert max(d.frames) < min(CLIPS[d.mouth].frames, CLIPS[d.pose].frames)


def test_cross_driving_with_two_people_crosses_pose_and_with_one_nothing():
  two = [c for c in CLIPS if c.identity in ('person0', 'person1')]
  for d in protocols.cross(two, count=0, frames=5, seed=0):
    assert two[d.source].identity == two[d.mouth].identity != two[d.pose].identity
  assert protocols.cross([c for c in CLIPS if c.identity == 'person0'], count=0, frames=5, seed=0) == []


@pytest.mark.parametrize('choose', [protocols.same_clip, protocols.cross])
def test_the_choice_depends_on_the_seed_and_not_on_the_order_of_the_records(choose):
  shuffled = CLIPS.copy()
  random.Random(1).shuffle(shuffled)

  def ids(clips, seed):
    return [
      (clips[d.source].clip_id, clips[d.mouth].clip_id, clips[d.pose].clip_id, d.frames)
      for d in choose(clips, count=6, frames=3, seed=seed)
    ]

  assert ids(CLIPS, 0) != ids(CLIPS, 1)
  assert ids(CLIPS, 0) == ids(CLIPS, 0) == ids(shuffled, 0)


def test_clips_of_one_frame_are_passed_over():
  assert protocols.same_clip([ClipInfo('a', 'p', 1)], count=0, frames=0, seed=0) == []
