"""Mock trees for rehearsals, and a preparation that is killed on purpose."""

import random
import sys

import pytest

from benchmarks import mock_trees
from benchmarks.soak import preparation
from data_pipeline import trees
from data_pipeline.errors import DataError
from tests.data_pipeline import videos


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
  """Five clips of four people, of whom one has no emotion."""
  folder = tmp_path_factory.mktemp('sources')
  names = {'a1': 'angry', 'a2': 'angry', 'b1': 'happy', 'c1': '', 'd1': 'neutral'}
  for seed, name in enumerate(names):
    videos.write(folder / f'{name}.mp4', 50, seed=seed)
  rows = ''.join(f'{name},{name[0]},{emotion},2\n' for name, emotion in names.items())
  (folder / 'clips.csv').write_text(f'id,identity,emotion,intensity\n{rows}', encoding='utf-8')
  return folder


def test_mock_trees_are_found_as_those_of_their_owners(sources, tmp_path):
  assert mock_trees.build([sources], tmp_path) == (2, 2)
  mead, hdtf = trees.find('mead', [tmp_path / 'MEAD']), trees.find('hdtf', [tmp_path / 'HDTF'])
  assert [video.video_id for video in mead.videos] == ['M001#angry#level_2#001', 'M001#angry#level_2#002']  # not c1
  assert [video.video_id for video in hdtf.videos] == ['RD_Radio1_000', 'RD_Radio2_000'] and not hdtf.notes
  assert all(video.path.with_suffix('.npy').is_file() for video in (*mead.videos, *hdtf.videos))
  with pytest.raises(DataError, match='expected an empty folder'):
    mock_trees.build([sources], tmp_path)


def test_few_videos_are_of_many_people(sources, tmp_path):
  mock_trees.build([sources], tmp_path, limit=4)
  names = [video.video_id for tree in ('mead', 'hdtf') for video in trees.find(tree, [tmp_path / tree.upper()]).videos]
  assert names == ['M001#angry#level_2#001', 'RD_Radio1_000', 'RD_Radio2_000']  # c1 has no emotion for MEAD


PREPARE = """
import pathlib, sys, time
out = pathlib.Path(sys.argv[1])
for k in range(6):
  folder = out / 'cache' / f'video-{k}'
  if not (folder / 'outcome.json').is_file():
    time.sleep(0.1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'outcome.json').write_text('{}')
(out / 'records').write_text('all' if sys.argv[2] == 'good' else str(time.time()))
"""


@pytest.mark.release
@pytest.mark.parametrize('kind', ['good', 'bad'])
def test_a_preparation_is_killed_until_it_ends_and_compared(tmp_path, kind, capsys):
  commands = [[sys.executable, '-c', PREPARE, str(tmp_path / name), kind] for name in ('whole', 'killed')]
  preparation.soak(commands[0], tmp_path / 'whole', 0, 6, random.Random(0), pause=0)
  killed = preparation.soak(commands[1], tmp_path / 'killed', 2, 6, random.Random(0), pause=0)
  assert killed == ['job', 'job'] and capsys.readouterr().out.count('kill ') == 2
  found = preparation.differences(tmp_path / 'whole', tmp_path / 'killed')
  assert found == ([] if kind == 'good' else ['records'])
