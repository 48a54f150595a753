"""Motion weights beside the records: what is written is read, and nothing else ever is."""

import json
import types

import numpy as np
import pytest

from data_pipeline import motion, sampling
from data_pipeline.errors import CorruptRecord, DataError
from data_pipeline.index import ClipInfo

CLIPS = [('anna#1', 3), ('bert#1', 2)]
WEIGHTS = {'mouth': np.arange(20, dtype=np.float32).reshape(5, 4), 'pose': np.ones((5, 3), np.float32)}


@pytest.fixture
def folder(tmp_path):
  path = motion.folder_of(tmp_path, '0123456789abcdef0123')
  motion.write(path, 'train', CLIPS, WEIGHTS, {'records': 'digest'})
  return path


def test_weights_come_back_by_clip(folder, tmp_path):
  assert folder == tmp_path / 'motion' / '0123456789abcdef'
  found = motion.Motion(folder, 'train')
  found.verify()
  assert found.sizes == {'mouth': 4, 'pose': 3} and found.about == {'records': 'digest'}
  assert 'bert#1' in found and 'carl#1' not in found
  np.testing.assert_array_equal(found.weights('bert#1')['mouth'], WEIGHTS['mouth'][3:])
  with pytest.raises(CorruptRecord, match='no motion weights of clip carl#1'):
    found.weights('carl#1')


def test_writing_again_replaces_and_leaves_nothing_behind(folder):
  motion.write(folder, 'train', CLIPS[:1], {'mouth': WEIGHTS['mouth'][:3]}, {})
  assert motion.Motion(folder, 'train').sizes == {'mouth': 4}
  assert [path.name for path in folder.iterdir()] == ['train']


def test_of_two_writers_at_once_the_first_one_stays(folder, monkeypatch):
  remove = motion.shutil.rmtree
  monkeypatch.setattr(motion.shutil, 'rmtree', lambda path, **how: path.name == 'train' or remove(path, **how))
  motion.write(folder, 'train', CLIPS[:1], {'mouth': WEIGHTS['mouth'][:3]}, {})  # the other's are there again
  assert motion.Motion(folder, 'train').sizes == {'mouth': 4, 'pose': 3}
  assert [path.name for path in folder.iterdir()] == ['train']
  (folder / 'train' / motion.INDEX).unlink()  # somebody's files, not weights
  with pytest.raises(OSError, match='not empty'):
    motion.write(folder, 'train', CLIPS, WEIGHTS, {})


def _cut(path):
  path.write_bytes(path.read_bytes()[:-4])


def _flip(path):
  content = bytearray(path.read_bytes())
  content[-2] ^= 1
  path.write_bytes(content)


@pytest.mark.parametrize(
  'name, damage, message',
  [
    ('mouth.npy', _cut, 'bytes, expected'),
    ('mouth.npy', lambda path: path.unlink(), 'missing'),
    ('mouth.npy', _flip, 'other bytes than were written'),
    ('index.json', _cut, 'not an index'),
    ('index.json', lambda path: path.write_text(path.read_text().replace('anna', 'otto')), 'other bytes'),
    ('index.json', lambda path: path.unlink(), 'no motion weights here'),
  ],
)
def test_damage_is_named_in_one_line(folder, name, damage, message):
  damage(folder / 'train' / name)
  with pytest.raises(DataError, match=message) as caught:
    motion.Motion(folder, 'train').verify()
  assert '\n' not in str(caught.value) and str(folder) in str(caught.value)


def test_frames_that_do_not_add_up_are_refused(folder):
  path = folder / 'train' / 'index.json'
  content = json.loads(path.read_text())
  del content['sha256']
  content['clips'] = content['clips'][:1]
  path.write_text(json.dumps({**content, 'sha256': motion._digest(content)}))
  with pytest.raises(DataError, match='5 frames, the index has 3'):
    motion.Motion(folder, 'train')


def test_a_sampler_gets_the_weights_of_the_banks_it_names(folder):
  needs = lambda *banks: sampling.Sampler('needs', ('source',), sampling._any_clip, None, motion=banks)
  infos = [ClipInfo('anna#1', 'anna', '', 3, 3, True)]
  clips = types.SimpleNamespace(split='train', infos=infos)
  population = sampling.Population(clips, needs('mouth'), motion=str(folder))
  assert population.motion.sizes['mouth'] == 4
  with pytest.raises(DataError, match='no weights of expression, only of mouth, pose'):
    sampling.Population(clips, needs('expression'), motion=str(folder))
  with pytest.raises(DataError, match='needs motion weights: '):
    sampling.Population(clips, needs('mouth'))
