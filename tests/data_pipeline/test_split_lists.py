import json
import pathlib

import pytest

from data_pipeline import split_lists
from data_pipeline.errors import DataError
from data_pipeline.identities import from_name
from data_pipeline.inputs import Video, in_order


def listing(*names):
  return in_order((Video(pathlib.Path(f'/data/{name}.mp4'), name), from_name(name)) for name in names)


def write(folder, **splits):
  for split, names in splits.items():
    (folder / f'{split}.json').write_text(json.dumps(names), encoding='utf-8')
  return [folder / f'{split}.json' for split in splits]


MEAD = ['M005#angry#level_1#001', 'M003#angry#level_1#001', 'M003#angry#level_1#002']
HDTF = ['WDA_NancyPelosi0_000', 'WDA_NancyPelosi1_000', 'RD_Radio1_000']


def applied(tmp_path, **options):
  files = write(
    tmp_path,
    train=[MEAD[0], 'WDA_NancyPelosi0_000#1', 'WDA_NancyPelosi0_000#2', 'RD_Gone_000#1'],
    test=[MEAD[1], 'WDA_NancyPelosi1_000#1'],
  )
  return split_lists.apply(listing(*MEAD, *HDTF), split_lists.read(files), **options)


def test_lists_give_splits_and_leave_the_rest_out(tmp_path):
  done = applied(tmp_path)
  assert {video.video_id: label.split for video, label in done.labels.items()} == {
    MEAD[0]: 'train',
    MEAD[1]: 'test',
    HDTF[0]: 'train',
    HDTF[1]: 'test',
  }
  assert [video.video_id for video in done.videos] == sorted([*MEAD[:2], *HDTF[:2]])
  assert done.notes[:2] == ('2 videos are in no list and left out', '1 videos of the lists are not there')


def test_a_person_on_both_sides_becomes_one_for_each_video(tmp_path):
  done = applied(tmp_path)
  people = {video.video_id: label.identity for video, label in done.labels.items()}
  assert [people[name] for name in HDTF[:2]] == HDTF[:2]
  assert people[MEAD[1]] == 'M003'
  assert '1 people are in several splits' in done.notes[2]


def test_people_apart_leaves_a_test_set_that_nobody_was_trained_on(tmp_path):
  done = applied(tmp_path, people_apart=True)
  assert {label.identity: label.split for label in done.labels.values()} == {
    'M005': 'train',
    'M003': 'test',
    'WDA_NancyPelosi': 'train',
  }


@pytest.mark.parametrize(
  ('name', 'text', 'message'),
  [
    ('dev', '[]', 'the name of the file must be one of train.json, val.json, test.json'),
    ('train', '{}', 'expected a JSON array of names'),
    ('train', '[1]', 'expected a JSON array of names'),
    ('train', '[', 'cannot be read'),
  ],
)
def test_files_that_are_no_lists_end_in_one_line(tmp_path, name, text, message):
  path = tmp_path / f'{name}.json'
  path.write_text(text, encoding='utf-8')
  with pytest.raises(DataError, match=message) as caught:
    split_lists.read([path])
  assert '\n' not in str(caught.value)


def test_a_name_in_two_lists_is_refused(tmp_path):
  with pytest.raises(DataError, match=r'test.json: RD_A_000#1 is in train.json too'):
    split_lists.read(write(tmp_path, train=['RD_A_000#1'], test=['RD_A_000#1']))


def test_a_video_in_two_lists_is_refused(tmp_path):
  homes = split_lists.read(write(tmp_path, train=['RD_A_000#1'], test=['RD_A_000#2']))
  with pytest.raises(DataError, match='pieces of RD_A_000 are in the splits train and test'):
    split_lists.apply(listing('RD_A_000'), homes)


def test_lists_of_something_else_are_refused(tmp_path):
  with pytest.raises(DataError, match=r'none of 1 videos is in the lists; they name 1, e.g. RD_A_000#1'):
    split_lists.apply(listing('x'), split_lists.read(write(tmp_path, train=['RD_A_000#1'])))


def test_the_report_counts_people_before_lists_made_them_videos():
  rows = [
    {'status': 'ok', 'split': split, 'video': video, 'frames': 9000}
    for split, video in (('train', HDTF[0]), ('train', HDTF[0]), ('test', HDTF[1]))
  ] + [{'status': 'rejected', 'video': 'x'}]
  people = {name: from_name(name).identity for name in HDTF}
  done = split_lists.report(rows, people, {f'{HDTF[0]}#1': 'test', f'{HDTF[1]}#1': 'test', 'RD_Gone_000#1': 'test'})
  assert done['splits']['train'] == {'people': 1, 'videos': 1, 'clips': 2, 'hours': 0.2}
  assert done['splits']['val'] == {'people': 0, 'videos': 0, 'clips': 0, 'hours': 0.0}
  assert done['people_in_several_splits'] == ['WDA_NancyPelosi']
  assert done['videos_moved'] == {'test to train': 1}
