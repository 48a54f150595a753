"""Weights files: what PyTorch writes is read without it and the other way round, and nothing else is run."""

import argparse
import collections
import io
import os
import pathlib
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from edtalk_jax.weights import files, safetensors_file, torch_file, torch_writer
from edtalk_jax.weights.official_names import CONV

DATA = pathlib.Path(__file__).parent / 'data'
ARRAYS = {
  'kernel': np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2) / 7,
  'transposed': CONV.save(np.arange(24, dtype=np.float32).reshape(2, 2, 2, 3)),
  'half': np.linspace(-1, 1, 5).astype(np.float16),
  'brain': np.linspace(-1, 1, 5).astype(ml_dtypes.bfloat16),
  'steps': np.asarray(7, np.int64),
  'none': np.zeros((0, 3), np.float32),
}


def _equal(found, expected=ARRAYS):
  assert list(found) == list(expected)
  for name, array in expected.items():
    read = np.asarray(found[name])
    assert (read.dtype, read.shape, found[name].shape) == (array.dtype, array.shape, array.shape), name
    np.testing.assert_array_equal(read, array, err_msg=name)


@pytest.fixture
def torch_path(tmp_path):
  torch_writer.write(tmp_path / 'x.pt', {'gen': ARRAYS, 'dis': {'only': np.ones(3, np.float32)}})
  return tmp_path / 'x.pt'


def _save_npz(path):
  np.savez(path, **{name: array for name, array in ARRAYS.items() if name != 'brain'})  # NumPy has no bfloat16


def test_torch_files_round_trip(torch_path):
  content = files.contents(torch_path)
  _equal(content.groups['gen'])
  _equal(content.groups['dis'], {'only': np.ones(3, np.float32)})
  assert content.others == ()


def test_the_same_arrays_give_the_same_bytes(torch_path, tmp_path):
  (tmp_path / 'again').mkdir()
  torch_writer.write(tmp_path / 'again/x.pt', {'gen': ARRAYS, 'dis': {'only': np.ones(3, np.float32)}})
  assert (tmp_path / 'again/x.pt').read_bytes() == torch_path.read_bytes()


def test_pytorch_reads_what_is_written(torch_path):
  torch = pytest.importorskip('torch', reason='the extra [torch] is not installed')
  for mmap in (False, True):
    found = torch.load(torch_path, weights_only=True, mmap=mmap)['gen']
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
      np.testing.assert_array_equal(found[name].float().numpy(), array.astype(np.float32), err_msg=name)


# Written by PyTorch 2.13, see data/README.md: parameters, views, transposed views, optimiser moments and options.
@pytest.mark.parametrize('name', ['zip.pt', 'legacy.pt'])
def test_what_pytorch_has_written_is_read(name):
  content = files.contents(DATA / name)
  with np.load(DATA / 'expected.npz') as expected:
    assert set(content.groups['gen']) == set(expected)
    for key, array in expected.items():
      np.testing.assert_array_equal(np.asarray(content.groups['gen'][key], np.float32), array, err_msg=key)
  assert content.others == ('g_optim', 'args', 'step')


def test_safetensors_round_trip(tmp_path):
  safetensors_file.write(tmp_path / 'x.safetensors', ARRAYS, {'network': 'edtalk'})
  _equal(files.contents(tmp_path / 'x.safetensors').groups[''])
  assert safetensors_file.read(tmp_path / 'x.safetensors')[1] == {'network': 'edtalk'}


def test_npz(tmp_path):
  _save_npz(tmp_path / 'x.npz')
  _equal(files.contents(tmp_path / 'x.npz').groups[''], {n: a for n, a in ARRAYS.items() if n != 'brain'})


def _archive(path, pickled: bytes, compression=zipfile.ZIP_STORED, **entries: bytes):
  with zipfile.ZipFile(path, 'w', compression) as archive:
    archive.writestr('x/data.pkl', pickled)
    for name, data in entries.items():
      archive.writestr(f'x/{name}', data)


class _Runs:
  def __init__(self, *call):
    self._call = call

  def __reduce__(self):
    return self._call[0], self._call[1:]


@pytest.mark.parametrize(
  'harm',
  [
    _Runs(os.system, 'touch harmed'),
    _Runs(eval, "open('harmed', 'w')"),
    {'gen': _Runs(getattr, argparse.Namespace, 'mro')},
    _Runs(io.open, 'harmed', 'w'),
  ],
  ids=['system', 'eval', 'getattr', 'open'],
)
@pytest.mark.parametrize('legacy', [False, True])
def test_nothing_is_run(tmp_path, monkeypatch, harm, legacy):
  monkeypatch.chdir(tmp_path)
  path = tmp_path / 'x.pt'
  if legacy:
    path.write_bytes(torch_file.LEGACY_START + b'.' + pickle.dumps(1001, 2) + pickle.dumps(harm, 2))
  else:
    _archive(path, pickle.dumps(harm, 2))
  with pytest.raises(ValueError, match=r'^refused: it would run \w+\.\w+, which no weights need$'):
    files.contents(path)
  assert not (tmp_path / 'harmed').exists()


def test_later_protocols_are_refused(tmp_path):
  # What they can do beside is not needed, and reaches code of Python's that is less often looked at.
  _archive(tmp_path / 'x.pt', pickle.dumps({'gen': bytearray(9)}, 5))
  with pytest.raises(ValueError, match=r'a pickle of protocol \d, expected 2'):
    files.contents(tmp_path / 'x.pt')


def test_a_name_that_would_take_for_ever_to_print_is_not(tmp_path):
  # 2^60 names: each tuple holds the one before twice.
  name: tuple = ()
  for _ in range(60):
    name = (name, name)
  _archive(tmp_path / 'x.pt', pickle.dumps({'gen': [name]}, 2))
  assert files.contents(tmp_path / 'x.pt') == ({}, ('gen',))


def test_options_are_left_unread(tmp_path):
  # BUILD could set attributes of whatever it is given; options keep none.
  _archive(tmp_path / 'x.pt', pickle.dumps({'args': argparse.Namespace(size=256), 'gen': collections.OrderedDict()}, 2))
  saved = torch_file.read(tmp_path / 'x.pt')
  assert vars(saved['args']) == {} and saved['gen'] == {}


def _huge(shape, stride, storage=4) -> bytes:
  text = torch_writer._text
  numbers = lambda items: torch_writer._tuple(*map(torch_writer._number, items))
  pid = (
    torch_writer._tuple(
      text('storage'),
      torch_writer._global('torch', 'FloatStorage'),
      text('0'),
      text('cpu'),
      torch_writer._number(storage),
    )
    + b'Q'
  )
  tensor = torch_writer._tuple(pid, torch_writer._number(0), numbers(shape), numbers(stride))
  return b'\x80\x02}(' + text('a') + torch_writer._global('torch._utils', '_rebuild_tensor') + tensor + b'Ru.'


@pytest.mark.parametrize(
  ('shape', 'stride'),
  [((5,), (1,)), ((2, 3), (3, 1)), ((1 << 30, 1 << 30), (0, 0)), ((-1,), (1,)), ((2,), (-1,)), ((1,) * 40, (1,) * 40)],
)
def test_tensors_stay_within_their_storage(tmp_path, shape, stride):
  _archive(tmp_path / 'x.pt', _huge(shape, stride), **{'data/0': bytes(16)})
  with pytest.raises(ValueError, match=r'reaches beyond its storage of 4 numbers|a tensor whose shape is none'):
    files.contents(tmp_path / 'x.pt')


@pytest.mark.parametrize(
  ('entries', 'message'),
  [
    ({}, "storage '0' is absent, expected 16 bytes"),
    ({'data/0': bytes(15)}, "storage '0' is 15 bytes, expected 16 bytes"),
    ({'data/0': bytes(16), 'byteorder': b'big'}, 'its numbers are big-endian'),
    ({'data/0': bytes(16), 'compression': zipfile.ZIP_DEFLATED}, 'is compressed, which torch.save never does'),
  ],
)
def test_archives_that_are_none_of_torch_save(tmp_path, entries, message):
  _archive(tmp_path / 'x.pt', _huge((4,), (1,)), **entries)
  with pytest.raises(ValueError, match=message):
    files.contents(tmp_path / 'x.pt')


def test_files_of_another_kind(tmp_path):
  for content, message in ((b'', 'the file is empty'), (b'\x00' * 20, 'no weights file, expected .pt, .pth')):
    (tmp_path / 'x').write_bytes(content)
    with pytest.raises(ValueError, match=message):
      files.contents(tmp_path / 'x')


def _read_all(path):
  for group in files.contents(path).groups.values():
    for tensor in group.values():
      np.asarray(tensor)


@pytest.mark.parametrize('name', ['zip.pt', 'legacy.pt', 'x.safetensors', 'x.npz'])
def test_a_file_cut_anywhere_is_one_line(tmp_path, name):
  whole = DATA / name
  if name == 'x.safetensors':
    safetensors_file.write(whole := tmp_path / name, ARRAYS, {})
  elif name == 'x.npz':
    _save_npz(whole := tmp_path / name)
  data, path = whole.read_bytes(), tmp_path / f'cut{whole.suffix}'
  for size in np.linspace(1, len(data) - 1, 40).astype(int):
    path.write_bytes(data[:size])
    with pytest.raises(ValueError) as error:
      _read_all(path)
    assert '\n' not in str(error.value) and str(error.value)


@pytest.mark.parametrize('name', ['zip.pt', 'legacy.pt'])
def test_flipped_bytes_give_one_line_or_tensors(tmp_path, name):
  data, rng = (DATA / name).read_bytes(), np.random.default_rng(0)
  for place in rng.choice(len(data), 150, replace=False):
    damaged = bytearray(data)
    damaged[place] ^= 1 << rng.integers(8)
    (tmp_path / name).write_bytes(damaged)
    try:
      _read_all(tmp_path / name)
    except ValueError as error:
      assert '\n' not in str(error)
