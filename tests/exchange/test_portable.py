"""Portable files by hand: what is in them runs on any number of frames, and other files are refused."""

import io
import json
import zipfile

import jax
import jax.export
import numpy as np
import pytest

from edtalk_jax.exchange import portable

BATCH = 2


def _write(path, **about):
  """A file whose programs scale what they are given by a parameter."""
  struct = jax.ShapeDtypeStruct
  parameters = {'audio/scale': np.array(3.0, np.float32)}
  shapes = {name: struct(array.shape, array.dtype) for name, array in parameters.items()}
  rows, code = struct((BATCH, 1), np.float32), struct((1, 1), np.float32)
  programs = {
    'hear': (lambda p, rows: rows * p['audio/scale'], (rows,)),
    'generate': (
      lambda p, code, features, weights: code + features[0] + weights['mouth'] * p['audio/scale'] + weights['pose'],
      (code, (code,), {'mouth': rows, 'pose': rows}),
    ),
  }
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr(portable.ABOUT, json.dumps({'format': portable.FORMAT, 'batch_size': BATCH, **about}))
    for name, (program, arguments) in programs.items():
      exported = jax.export.export(jax.jit(program), platforms=['cpu'])(shapes, *arguments)
      archive.writestr(f'{name}{portable.PROGRAM}', bytes(exported.serialize()))
    for name, array in parameters.items():
      buffer = io.BytesIO()
      np.lib.format.write_array(buffer, array)
      archive.writestr(f'{portable.PARAMETERS}{name}.npy', buffer.getvalue())
  return path


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  return portable.load(_write(tmp_path_factory.mktemp('portable') / 'x.edtalk'))


@pytest.mark.parametrize('count', [1, 2, 3, 4, 5])
def test_any_number_of_rows_gives_as_many_results(model, count):
  rows = np.arange(count, dtype=np.float32)[:, None]
  np.testing.assert_array_equal(model.hear(rows), 3 * rows)


def test_banks_left_out_keep_the_portraits_own_motion(model):
  source = np.float32([[100]]), (np.float32([[1000]]),), {'mouth': np.float32([[7]]), 'pose': np.float32([[0.5]])}
  found = model.generate(source, {'mouth': np.arange(3, dtype=np.float32)[:, None]})
  np.testing.assert_array_equal(found[:, 0], [1100.5, 1103.5, 1106.5])


def test_nothing_to_do_is_an_error(model):
  with pytest.raises(ValueError, match='there are no frames'):
    model.hear(np.zeros((0, 1), np.float32))


def test_files_of_another_format_or_damaged_ones_are_refused(tmp_path):
  with pytest.raises(ValueError, match=r"its format is 'other'"):
    portable.load(_write(tmp_path / 'other.edtalk', format='other'))
  path = tmp_path / 'damaged.edtalk'
  path.write_bytes(_write(tmp_path / 'whole.edtalk').read_bytes()[:-30])
  with pytest.raises(ValueError, match='no portable model, or damaged'):
    portable.load(path)
