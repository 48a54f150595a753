"""Which frames of one person are trained on, and which are held out."""

import pytest

from data_pipeline import one_person
from data_pipeline.errors import DataError
from data_pipeline.index import ClipInfo


def info(clip_id, identity='anna', frames=10):
  return ClipInfo(clip_id, identity, '', frames, frames, True)


INFOS = [info('talk#2', frames=5), info('song#1'), info('talk#1', frames=15), info('other#1', 'bert')]


def test_a_video_is_split_in_time_over_all_its_clips():
  found = one_person.videos(INFOS, [0, 1, 2])
  talk, song = found[0], found[1]
  assert found[2] is talk
  assert talk.early == (*((2, k) for k in range(15)), (0, 0))  # 16 of 20, the first clip first
  assert talk.late == ((0, 1), (0, 2), (0, 3), (0, 4))
  assert (len(song.early), len(song.late)) == (8, 2)


@pytest.mark.parametrize('frames, early', [(2, 1), (3, 2), (6, 4)])
def test_both_parts_have_a_frame(frames, early):
  video = one_person.videos([info('talk#1', frames=frames)], [0])[0]
  assert (len(video.early), len(video.late)) == (early, frames - early)


def test_a_clip_of_another_name_is_its_own_video():
  assert len(one_person.videos([info('a'), info('b#x')], [0, 1])[0].early) == 8


def test_what_cannot_be_is_said_in_one_line():
  with pytest.raises(DataError, match='talk: 1 frames, expected at least 2'):
    one_person.videos([info('talk#1', frames=1)], [0])
  with pytest.raises(DataError, match='expected one of the people in this split, anna, bert'):
    one_person.clips_of(INFOS, '')
  with pytest.raises(DataError, match='identity=carl: expected one of'):
    one_person.clips_of(INFOS, 'carl')


def test_one_person_needs_no_name():
  assert one_person.clips_of(INFOS[:3], '') == [0, 1, 2]
  assert one_person.clips_of(INFOS, 'bert') == [3]
