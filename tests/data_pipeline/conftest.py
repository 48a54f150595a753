"""One small prepared folder for all tests that only read."""

import pathlib
import shutil

import numpy as np
import pytest
from rich.console import Console

from data_pipeline import job, prepare
from tests.data_pipeline import videos

CONFIG = prepare.PrepareConfig(size=64, longest=30, shortest=10)
PEOPLE = ('M001#neutral#level_1#001', 'M001#happy#level_2#002', 'W002_1', 'W002_2', 'x3', 'x4')


def run(inputs, out, **options):
  """Prepares quietly in this process."""
  options = {'config': CONFIG, 'workers': 0, 'console': Console(quiet=True), **options}
  return job.prepare_folder([inputs], out, **options)


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
