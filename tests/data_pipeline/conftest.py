"""One small prepared folder for all tests that only read, and small trees laid out as MEAD's and HDTF's owners do."""

import pathlib
import shutil

import numpy as np
import pytest
from rich.console import Console

from data_pipeline import job, media, prepare
from data_pipeline.quality.limits import ACCEPT_ALL
from tests.data_pipeline import videos

# Drawn pictures are blurred, alike and out of step: no test of theirs is about that.
CONFIG = prepare.PrepareConfig(size=64, longest=30, shortest=10, limits=ACCEPT_ALL)
PEOPLE = ('M001#neutral#level_1#001', 'M001#happy#level_2#002', 'W002_1', 'W002_2', 'x3', 'x4')


def run(inputs, out, **options):
  """Prepares quietly in this process."""
  options = {'config': CONFIG, 'workers': 0, 'console': Console(quiet=True), **options}
  return job.prepare_folder([inputs], out, **options)


def failing(name, error):
  """Prepares videos as usual, but raises `error` at the one called `name`."""

  def prepare_video(path, *args, **kwargs):
    if path.stem == name:
      raise error
    yield from prepare.prepare_video(path, *args, **kwargs)

  return prepare_video


@pytest.fixture(scope='session')
def prepared(tmp_path_factory) -> pathlib.Path:
  """Records of six short videos of four people: M001, W002 and x3 in train, x4 in test."""
  root = tmp_path_factory.mktemp('prepared')
  source = root / 'videos'
  for seed, name in enumerate(PEOPLE):
    videos.write(source / f'{name}.mp4', 45, seed=seed, audio_seconds=1.8 if seed != 2 else None)
  # Without landmarks in some frames: they must never be drawn for the mouth swap.
  holes = np.load(source / 'x3.npy')
  holes[17:20] = np.nan
  np.save(source / 'x3.npy', holes)
  rows = ''.join(f'{name},{"test" if name == "x4" else "train"}\n' for name in PEOPLE)
  (source / 'metadata.csv').write_text(f'id,split\n{rows}', encoding='utf-8')
  run(source, root / 'out')
  return root / 'out'


@pytest.fixture
def prepared_copy(prepared, tmp_path) -> pathlib.Path:
  """A copy that a test may damage."""
  return pathlib.Path(shutil.copytree(prepared, tmp_path / 'copy'))


@pytest.fixture(scope='session')
def mead_tree(tmp_path_factory):
  """Three actors with two sentences of 40 frames each; M003's sound lies beside its silent video, at 30 fps."""
  root = tmp_path_factory.mktemp('trees') / 'MEAD'
  for seed, actor in enumerate(('M003', 'W009', 'M030')):
    for sentence in ('001', '002'):
      front = root / actor / 'video' / 'front' / 'angry' / 'level_1' / f'{sentence}.mp4'
      silent = actor == 'M003'
      videos.write(
        front, 48 if silent else 40, seed=seed, fps=30 if silent else 25, audio_seconds=None if silent else 1.6
      )
      if silent:
        sound = root / actor / 'audio' / 'angry' / 'level_1' / f'{sentence}.m4a'
        media.write_video(sound.with_suffix('.mp4'), videos.pictures(40), 25, videos.tone(1.6))
        sound.with_suffix('.mp4').rename(sound)
  return root


@pytest.fixture(scope='session')
def hdtf_tree(tmp_path_factory):
  """A list of the owners' form, a whole video with two takes, and a take that is cut already."""
  root = tmp_path_factory.mktemp('trees') / 'HDTF'
  videos.write(root / 'videos' / 'RD_Radio1.mp4', 100, audio_seconds=4)
  videos.write(root / 'videos' / 'WDA_NancyPelosi0_000.mp4', 60, seed=1, audio_seconds=2.4)
  lists = root / 'HDTF_dataset'
  lists.mkdir()
  (lists / 'RD_annotion_time.txt').write_text('Radio1.mp4 00:00-00:01 00:02-00:04\n', encoding='utf-8')
  (lists / 'WDA_annotion_time.txt').write_text('NancyPelosi0.mp4 00:05-00:08\n', encoding='utf-8')
  return root
