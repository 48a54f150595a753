"""Trees as owners distribute them, from the names of files alone: `test_mock_trees` builds some from videos."""

import pathlib

import pytest

from data_pipeline import cutting, inputs, trees
from data_pipeline.errors import DataError
from data_pipeline.identities import Label
from data_pipeline.trees import hdtf, mead, voxceleb


def paths(*names):
  return [pathlib.Path('/data', name) for name in names]


def names(listing):
  return [video.video_id for video in listing.videos]


@pytest.mark.parametrize(
  ('path', 'name'),
  [
    ('MEAD/M003/video/front/angry/level_1/001.mp4', 'M003#angry#level_1#001'),
    ('MEAD/W009/video/video/front/neutral/level_1/040.mp4', 'W009#neutral#level_1#040'),  # unpacked beside its archive
    ('W011_video/video/front/sad/level_3/7.mp4', 'W011#sad#level_3#007'),
    ('M003/video/front/surprise/level_2/030.mp4', 'M003#surprised#level_2#030'),
    ('MEAD_front/Original_video/M003#fear#level_3#012.mp4', 'M003#fear#level_3#012'),
  ],
)
def test_mead_gives_official_names(path, name):
  listing = mead.find(paths(path))
  (video,) = listing.videos
  actor, emotion, level, _ = name.split('#')
  assert (video.video_id, listing.labels[video]) == (name, Label(actor, emotion, int(level[-1])))
  assert (video.excerpt.cut, video.excerpt.follow) == (cutting.WHOLE, cutting.LONGEST)


def test_mead_takes_front_views_only_with_the_sound_beside_them():
  files = paths(
    'M003/video/front/angry/level_1/001.mp4',
    'M003/video/left_30/angry/level_1/001.mp4',
    'M003/video/top/angry/level_1/001.mp4',
    'M003/audio/angry/level_1/001.m4a',
    'M003/readme.txt',
  )
  listing = mead.find(files)
  assert names(listing) == ['M003#angry#level_1#001']
  assert listing.videos[0].excerpt.sound == files[3]
  assert listing.notes == ('2 videos of other views are left out',)


def test_one_sentence_twice_ends_in_one_line():
  with pytest.raises(DataError, match='would both be called M003#angry#level_1#001; keep one'):
    mead.find(paths('a/M003/video/front/angry/level_1/001.mp4', 'b/M003/video/front/angry/level_1/001.mp4'))


TIMES = 'Radio1.mp4 00:20-01:35\nRadio11.mp4 00:30-01:00 01:30-02:30\nRadio12.mp4 00:25-01:00\n'


def test_hdtf_finds_takes_cut_or_within_their_video():
  takes = hdtf.read_times('RD', TIMES, 'list')
  videos = paths('RD_Radio1.mp4', 'Radio11_0.mp4', 'RD_Radio11_001.mp4')
  listing = hdtf.by_lists(takes, videos)
  spans = {video.video_id: (video.path.name, video.excerpt.begin, video.excerpt.end) for video in listing.videos}
  assert spans == {
    'RD_Radio1_000': ('RD_Radio1.mp4', 20, 95),
    'RD_Radio11_000': ('Radio11_0.mp4', 0, float('inf')),
    'RD_Radio11_001': ('RD_Radio11_001.mp4', 0, float('inf')),
  }
  assert {video.excerpt.cut for video in listing.videos} == {cutting.PIECES}
  assert listing.notes == ('1 of 4 takes of the lists are not there',)


def test_hdtf_does_not_guess_whose_video_it_is():
  takes = [take for kind in ('WDA', 'WRA') for take in hdtf.read_times(kind, 'JoeBiden.mp4 00:05-01:00', '')]
  assert names(hdtf.by_lists(takes, paths('JoeBiden.mp4', 'WRA_JoeBiden.mp4'))) == ['WRA_JoeBiden_000']


def test_hdtf_without_lists_goes_by_names():
  listing = hdtf.find(paths('RD_Radio1_000.mp4', 'WDA_BarackObama0_000#12.mp4', 'holiday.mp4'))
  cuts = {video.video_id: video.excerpt.cut for video in listing.videos}
  assert cuts == {'RD_Radio1_000': cutting.PIECES, 'WDA_BarackObama0_000#12': cutting.WHOLE}
  assert [label.identity for label in listing.labels.values()] == ['RD_Radio1', 'WDA_BarackObama']
  assert '1 videos have no name of HDTF' in listing.notes[0]


@pytest.mark.parametrize('span', ['00:20', '00:20-00:20', '01:00-00:20', 'x-y', '1-2-3', ':-:'])
def test_a_time_that_is_none_ends_in_one_line(span):
  with pytest.raises(DataError, match=r'list.txt, line 2: expected MM:SS-MM:SS .*got ') as caught:
    hdtf.read_times('RD', f'A.mp4 00:00-00:05\nB.mp4 {span}\n', 'list.txt')
  assert '\n' not in str(caught.value)


def test_hours_are_read():
  assert hdtf.read_times('RD', 'A.mp4 0:59:30-1:00:10', '')[0][-2:] == (3570, 3610)


def test_voxceleb_keeps_its_owners_test_people():
  listing = voxceleb.find(
    paths(
      'dev/mp4/id00012/21Uxsk56VDQ/00001.mp4',
      'test/mp4/id00017/01dfn2spqyE/00001.mp4',
      'test/id10001#7w0IBEWc9Qw#000993#001143.mp4',
      'other/x.mp4',
    )
  )
  splits = {video.video_id: listing.labels[video].split for video in listing.videos}
  assert splits['id00017#01dfn2spqyE#00001'] == splits['id10001#7w0IBEWc9Qw#000993#001143'] == 'test'
  assert splits['id00012#21Uxsk56VDQ#00001'] in ('train', 'val')
  assert {label.identity for label in listing.labels.values()} == {'id00012', 'id00017', 'id10001'}


def test_a_part_of_voxcelebs_training_people_is_held_out():
  files = paths(*(f'dev/mp4/id{k:05d}/21Uxsk56VDQ/00001.mp4' for k in range(1000)))
  splits = [label.split for label in voxceleb.find(files).labels.values()]
  assert 70 <= splits.count('val') <= 130  # three deviations of a binomial of 0.1


def test_an_empty_tree_says_what_was_found(tmp_path):
  file = tmp_path / 'M003' / 'video' / 'top' / 'angry' / 'level_1' / '001.mp4'
  file.parent.mkdir(parents=True)
  file.touch()
  with pytest.raises(DataError, match=r'--dataset mead: nothing of it in .*; 1 videos of other views are left out;'):
    trees.find('mead', [tmp_path])


def test_links_keep_their_names(tmp_path):
  (tmp_path / 'store').mkdir()
  (tmp_path / 'store' / 'x.mp4').touch()
  (tmp_path / 'tree').mkdir()
  (tmp_path / 'tree' / 'RD_Radio1_000.mp4').symlink_to(tmp_path / 'store' / 'x.mp4')
  (tmp_path / 'tree' / '.hidden.mp4').touch()
  assert inputs.walk([tmp_path / 'tree']) == [tmp_path / 'tree' / 'RD_Radio1_000.mp4']


@pytest.mark.parametrize(
  ('cut', 'runs'),
  [
    (cutting.EVEN, [(0, 10, 30), (0, 30, 50)]),
    (cutting.WHOLE, [(0, 10, 50)]),
    (cutting.PIECES, [(1, 10, 25), (2, 25, 50)]),
  ],
)
def test_runs_of_a_face_are_cut(cut, runs):
  assert cutting.runs(cut, 10, 50, 25) == runs


def test_mead_and_hdtf_together_are_what_each_is_alone(mead_tree, hdtf_tree):
  both = trees.find('mead+hdtf', [mead_tree, hdtf_tree])
  mead, hdtf = trees.find('mead', [mead_tree]), trees.find('hdtf', [hdtf_tree])
  assert both.labels == {**mead.labels, **hdtf.labels} and len(both.videos) == 9
