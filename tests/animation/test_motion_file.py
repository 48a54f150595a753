"""Motion files: what comes back, and what is refused in one line."""

import numpy as np
import pytest

from edtalk_jax.animation import motion_file
from edtalk_jax.config import UserError
from tests.animation.fakes import FakeModel


@pytest.fixture
def motion():
  rng = np.random.default_rng(0)
  return {bank: rng.standard_normal((7, 1)).astype(np.float32) for bank in ('mouth', 'pose')}


def test_motion_comes_back_bit_by_bit(tmp_path, motion):
  path = tmp_path / 'folder' / 'x.npz'
  motion_file.write(path, motion, FakeModel(), 25)
  again = motion_file.read(path, FakeModel(), 25)
  assert set(again) == set(motion)
  for bank in motion:
    np.testing.assert_array_equal(again[bank], motion[bank])
  assert [entry.name for entry in path.parent.iterdir()] == ['x.npz']
  assert len(motion_file.read(path, FakeModel(), 50)['mouth']) == 13


def test_a_file_of_bare_arrays_will_do(tmp_path):
  np.savez(tmp_path / 'bare.npz', mouth=[[1], [2]], notes=np.array('made by hand'))
  assert motion_file.read(tmp_path / 'bare.npz', FakeModel(), 25)['mouth'].tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize(
  'arrays, message',
  [
    ({'eye': np.zeros((2, 1))}, 'holds eye, expected weights of mouth, pose'),
    ({}, 'holds nothing'),
    ({'mouth': np.zeros((2, 3))}, r'mouth must be numbers \[frames, 1\], got float64\[2, 3\]'),
    ({'mouth': np.zeros((0, 1))}, 'mouth must be numbers'),
    ({'mouth': np.array([['a']])}, 'mouth must be numbers'),
    ({'mouth': np.full((2, 1), np.nan)}, 'not finite'),
    ({'mouth': np.zeros((2, 1)), 'fps': np.float64(0)}, 'fps must be'),
    ({'mouth': np.zeros((2, 1)), 'fps': np.zeros(3)}, 'fps must be'),
    ({'mouth': np.zeros((2, 1)), 'spaces': np.array('{"mouth": "other"}')}, 'mouth is motion of another model'),
    ({'mouth': np.zeros((2, 1)), 'spaces': np.array('[')}, 'spaces is damaged'),
  ],
)
def test_wrong_contents_are_named(tmp_path, arrays, message):
  np.savez(tmp_path / 'x.npz', **arrays)
  with pytest.raises(UserError, match=message):
    motion_file.read(tmp_path / 'x.npz', FakeModel(), 25)


def test_objects_are_never_unpickled(tmp_path):
  np.savez(tmp_path / 'x.npz', mouth=np.array([[object]], object))
  with pytest.raises(UserError, match='no motion file, or a damaged one'):
    motion_file.read(tmp_path / 'x.npz', FakeModel(), 25)


def test_damaged_files_are_one_line_or_what_was_written(tmp_path, motion):
  path = tmp_path / 'x.npz'
  motion_file.write(path, motion, FakeModel(), 25)
  whole, rng = path.read_bytes(), np.random.default_rng(1)
  damaged = [whole[:k] for k in range(0, len(whole), 37)]
  for _ in range(150):
    data = bytearray(whole)
    for place in rng.integers(len(data), size=3):
      data[place] = rng.integers(256)
    damaged.append(bytes(data))
  refused = 0
  for data in damaged:
    path.write_bytes(data)
    try:
      found = motion_file.read(path, FakeModel(), 25)
    except UserError as error:
      assert '\n' not in str(error)
      refused += 1
    else:  # damage outside the arrays; an array may be hidden by a damaged name
      for bank, values in found.items():
        np.testing.assert_array_equal(values, motion[bank])
  assert refused > len(damaged) / 2


def test_made_up_motion_of_a_model_with_an_average_is_for_its_parameters_themselves(tmp_path):
  np.savez(tmp_path / 'x.npz', mouth=np.zeros((2, 1)), spaces=np.array('{"mouth": "raw"}'))
  model = FakeModel()
  model.averaged = True
  with pytest.raises(UserError, match=r'mouth is motion of another model.*; --raw takes the parameters themselves'):
    motion_file.read(tmp_path / 'x.npz', model, 25)
