"""Small trees laid out as MEAD's and HDTF's owners do, from files to records."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds
from rich.console import Console

from data_pipeline import cropping, cutting, job, prepare, records
from data_pipeline.datasets import distributed
from data_pipeline.errors import DataError
from data_pipeline.quality.limits import ACCEPT_ALL
from tests.data_pipeline import videos

CONFIG = prepare.PrepareConfig(size=48, longest=25, shortest=10, limits=ACCEPT_ALL)
ROOT = pathlib.Path(__file__).parents[2]


def build(tree, out, **options):
  return job.prepare_folder([tree], out, CONFIG, **{'workers': 0, 'console': Console(quiet=True), **options})


def rows(out):
  return [json.loads(line) for line in (out / job.MANIFEST).read_text(encoding='utf-8').splitlines()]


def clip_ids(out):
  return sorted(clip.clip_id for split in records.splits(out) for clip in records.Clips(out, split))


def test_mead_is_one_clip_a_sentence_with_the_sound_beside_it(mead_tree, tmp_path):
  summary = build(mead_tree, tmp_path, dataset='mead')
  assert (summary.videos, summary.rejected) == (6, 0)
  assert clip_ids(tmp_path) == sorted(
    f'{actor}#angry#level_1#{k}' for actor in ('M003', 'W009', 'M030') for k in ('001', '002')
  )
  clip = next(
    clip
    for split in records.splits(tmp_path)
    for clip in records.Clips(tmp_path, split)
    if clip.clip_id == 'M003#angry#level_1#001'
  )
  assert (clip.identity, clip.emotion, clip.record.emotion_level, len(clip)) == ('M003', 'angry', 1, 40)
  assert len(clip.waveform) == 40 * 640 and abs(clip.waveform).max() > 0.2  # 48 frames at 30 fps are 40 at 25


def test_hdtf_is_pieces_of_takes(hdtf_tree, tmp_path):
  build(hdtf_tree, tmp_path, dataset='hdtf')
  # Pieces are 25 frames here, 125 by default.
  assert clip_ids(tmp_path) == [
    'RD_Radio1_000#1',
    'RD_Radio1_001#1',
    'RD_Radio1_001#2',
    'WDA_NancyPelosi0_000#1',
    'WDA_NancyPelosi0_000#2',
    'WDA_NancyPelosi0_000#3',
  ]
  by_name = {row['clip']: row for row in rows(tmp_path)}
  assert [by_name[f'RD_Radio1_001#{k}']['begin_frame'] for k in (1, 2)] == [50, 75]
  clip = next(
    clip
    for split in records.splits(tmp_path)
    for clip in records.Clips(tmp_path, split)
    if clip.clip_id == 'RD_Radio1_001#2'
  )
  numbers = [videos.number(clip.frame(k)) for k in range(25)]
  expected = np.arange(75, 100) % 55
  # Colours pass through H.264 and JPEG; a frame's number is 4 grey levels from the next.
  assert np.abs(np.array(numbers) - expected).max() <= 1 and np.abs(np.array(numbers) - expected).mean() < 0.3


def test_official_lists_split_by_video_and_the_report_says_who_is_on_both_sides(hdtf_tree, tmp_path):
  for split, name in (('train', 'RD_Radio1_000#1'), ('test', 'RD_Radio1_001#2')):
    (tmp_path / f'{split}.json').write_text(json.dumps([name]), encoding='utf-8')
  build(hdtf_tree, tmp_path / 'out', dataset='hdtf', split_files=[tmp_path / 'train.json', tmp_path / 'test.json'])
  homes = {row['clip']: row['split'] for row in rows(tmp_path / 'out')}
  assert homes == {'RD_Radio1_000#1': 'train', 'RD_Radio1_001#1': 'test', 'RD_Radio1_001#2': 'test'}
  report = json.loads((tmp_path / 'out' / job.SPLITS_REPORT).read_text())
  assert report['people_in_several_splits'] == ['RD_Radio1']
  assert report['splits']['test'] == {'people': 1, 'videos': 1, 'clips': 2, 'hours': 0.001}


def test_a_lost_face_costs_its_piece_alone_and_keeps_numbers(tmp_path):
  path = videos.write(tmp_path / 'RD_Radio1_000.mp4', 100)
  landmarks = np.load(path.with_suffix('.npy'))
  landmarks[22:48] = np.nan  # most of the second piece; 22 of the first remain
  landmarks[[*range(60, 68)]] = np.nan  # a gap of more than five frames cuts the third into 10 and 7
  landmarks[[*range(48, 50)]] = np.nan
  excerpt = cutting.Excerpt(cut=cutting.PIECES)
  found = list(prepare.prepare_video(path, CONFIG, landmarks=landmarks, excerpt=excerpt))
  clips = [item for item in found if isinstance(item, prepare.PreparedClip)]
  assert [(clip.number, clip.begin_frame, len(clip.frames)) for clip in clips] == [(1, 0, 22), (3, 50, 10), (4, 75, 25)]
  assert [item.reason for item in found if item not in clips] == ['clip of only 7 frames']


def test_the_longer_run_of_a_sentence_is_kept(tmp_path):
  path = videos.write(tmp_path / 'a.mp4', 60)
  landmarks = np.load(path.with_suffix('.npy'))
  landmarks[20:30] = np.nan
  excerpt = cutting.Excerpt(cut=cutting.WHOLE)
  rejected, clip = prepare.prepare_video(path, CONFIG, landmarks=landmarks, excerpt=excerpt)
  assert (clip.number, clip.begin_frame, len(clip.frames)) == (0, 30, 30)
  assert (rejected.begin_frame, rejected.count) == (0, 20) and 'a longer run' in rejected.reason


def test_an_excerpt_shows_and_sounds_as_the_same_part_of_the_whole(tmp_path):
  path = videos.write(tmp_path / 'a.mp4', 100, audio_seconds=4)
  landmarks = np.load(path.with_suffix('.npy'))
  (part,) = prepare.prepare_video(path, CONFIG, landmarks=landmarks, excerpt=cutting.Excerpt(begin=2, end=3))
  whole = list(prepare.prepare_video(path, CONFIG, landmarks=landmarks))
  (same,) = (clip for clip in whole if clip.begin_frame == 50)
  assert (part.begin_frame, part.frames) == (50, same.frames)
  np.testing.assert_array_equal(part.waveform, same.waveform)
  np.testing.assert_array_equal(part.landmarks, same.landmarks)


@pytest.mark.release
@pytest.mark.parametrize('dataset', ['mead', 'hdtf'])
def test_records_do_not_depend_on_workers(dataset, mead_tree, hdtf_tree, tmp_path):
  tree = {'mead': mead_tree, 'hdtf': hdtf_tree}[dataset]
  build(tree, tmp_path / 'one', dataset=dataset)
  build(tree, tmp_path / 'two', dataset=dataset, workers=2)
  assert records.fingerprint(tmp_path / 'one') == records.fingerprint(tmp_path / 'two')
  assert rows(tmp_path / 'one') == rows(tmp_path / 'two')


@pytest.mark.release
def test_a_job_killed_again_and_again_ends_with_the_same_records(mead_tree, tmp_path):
  build(mead_tree, tmp_path / 'whole', dataset='mead')
  out = tmp_path / 'killed'
  code = (
    'import pathlib, sys; from tests.data_pipeline.test_mock_trees import build; '
    'build(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), dataset="mead")'
  )
  for wanted in (1, 3):  # killed as soon as so many videos are finished
    process = subprocess.Popen([sys.executable, '-c', code, mead_tree, out], cwd=ROOT)
    while process.poll() is None and len(list(out.glob('cache/[!.]*'))) < wanted:
      time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
  kept = len([path for path in out.glob('cache/[!.]*') if (path / 'outcome.json').is_file()])
  summary = build(mead_tree, out, dataset='mead')
  assert summary.resumed == kept >= 3
  assert records.fingerprint(out) == records.fingerprint(tmp_path / 'whole')
  assert rows(out) == rows(tmp_path / 'whole')


@pytest.mark.integration
def test_tfds_builds_what_prepare_builds(mead_tree, tmp_path):
  build(mead_tree, tmp_path / 'prepared', dataset='mead')
  builder = tfds.builder('mead', data_dir=os.fspath(tmp_path / 'tfds'), preparation=CONFIG, workers=0)
  builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=mead_tree))
  assert records.fingerprint(tmp_path / 'tfds') == records.fingerprint(tmp_path / 'prepared')
  assert sum(len(builder.as_data_source(split)) for split in builder.info.splits) == 6


def test_tfds_without_the_files_ends_in_one_line(tmp_path):
  with pytest.raises(DataError, match='hdtf: manual_dir must name the folder'):
    distributed.Hdtf(data_dir=os.fspath(tmp_path)).download_and_prepare()


def test_two_data_sets_do_not_share_a_folder(mead_tree, hdtf_tree, tmp_path):
  build(mead_tree, tmp_path, dataset='mead')
  with pytest.raises(DataError, match='holds the data set mead already; choose another folder for hdtf'):
    build(hdtf_tree, tmp_path, dataset='hdtf')


def test_tube_and_template_crops():
  boxes = np.array([[40, 30, 60, 60], [50, 34, 70, 62]], np.float32)  # union 40..70, 30..62: longer side 32
  assert cropping.tube_box(boxes, 200, 200) == (36, 27, 38)
  assert cropping.tube_box(boxes - 40, 200, 200) == (0, 0, 38)  # moved into the frame
  template = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
  landmarks = np.float32(template * 120 + (30, 20) - 0.5)[None].repeat(3, 0)
  landmarks[:, 48:] += 5  # the mouth does not take part
  assert cropping.template_box(landmarks, template, 300, 300) == (30, 20, 120)


def test_the_official_template_is_read(tmp_path):
  np.save(tmp_path / 't.npy', np.full((68, 2), 127, np.int64))
  assert cropping.read_template(tmp_path / 't.npy') == ((127.5 / 256, 127.5 / 256),) * 68
  with pytest.raises(ValueError, match='template must be given with crop template and only then'):
    prepare.PrepareConfig(crop='template')
  np.save(tmp_path / 't.npy', np.zeros((5, 2)))
  with pytest.raises(DataError, match=r'expected 68 points \[68, 2\], got \[5, 2\]'):
    cropping.read_template(tmp_path / 't.npy')
