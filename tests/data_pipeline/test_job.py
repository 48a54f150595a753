"""What may go wrong in a job: each fault is either one video's, the machine's, or the user's, and is told as such."""

import errno
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from data_pipeline import cache, digests, job, media, prepare, records, worker
from data_pipeline.datasets import folder
from data_pipeline.errors import DataError
from tests.data_pipeline import videos
from tests.data_pipeline.conftest import run


@pytest.fixture
def source(tmp_path):
  """A folder with two videos, a1 and b1."""
  for name in ('a1', 'b1'):
    videos.write(tmp_path / 'in' / f'{name}.mp4', 12)
  return tmp_path / 'in'


def failing_for_a1(monkeypatch, error):
  original = prepare.prepare_video

  def failing(path, *args, **kwargs):
    if path.stem == 'a1':
      raise error
    return original(path, *args, **kwargs)

  monkeypatch.setattr(prepare, 'prepare_video', failing)


def reasons(out):
  rows = [json.loads(line) for line in (out / job.MANIFEST).read_text(encoding='utf-8').splitlines()]
  return {row['video']: row['reason'] for row in rows if row['status'] == 'rejected'}


@pytest.mark.parametrize('error', [media.MediaError('x: breaks off'), DataError('changed while it was read')])
def test_what_is_wrong_with_one_video_rejects_only_that(source, tmp_path, monkeypatch, error):
  failing_for_a1(monkeypatch, error)
  assert run(source, tmp_path / 'out').rejected == 1
  assert reasons(tmp_path / 'out') == {'a1': str(error)}
  assert run(source, tmp_path / 'out').resumed == 2


def test_a_second_pass_that_fails_rejects_only_that_video(source, tmp_path, monkeypatch):
  original = media.read_frames

  def once(path, *args, **kwargs):
    if path.stem == 'a1':
      raise media.MediaError(f'{path}: cannot be decoded (odd)')
    return original(path, *args, **kwargs)

  monkeypatch.setattr(media, 'read_frames', once)  # with given landmarks, only the second pass reads by this
  run(source, tmp_path / 'out')
  assert reasons(tmp_path / 'out') == {'a1': 'cannot be decoded (odd)'}


@pytest.mark.parametrize('suffix', ['.mp4', '.npy'])
def test_a_file_that_cannot_be_read_is_rejected_and_tried_again(source, tmp_path, monkeypatch, suffix):
  original = digests.of_file

  def denied(path):
    if path.name == f'a1{suffix}':
      raise PermissionError(errno.EACCES, 'Permission denied', os.fspath(path))
    return original(path)

  monkeypatch.setattr(digests, 'of_file', denied)
  summary = run(source, tmp_path / 'out')
  assert (summary.rejected, summary.resumed) == (1, 0)
  assert reasons(tmp_path / 'out') == {'a1': f'a1{suffix} cannot be read (Permission denied)'}
  monkeypatch.setattr(digests, 'of_file', original)
  assert run(source, tmp_path / 'out').rejected == 0


def test_a_video_that_vanishes_is_rejected(source, tmp_path, monkeypatch):
  original = prepare.prepare_video

  def vanishing(path, *args, **kwargs):
    if path.stem == 'a1':
      path.unlink()
    return original(path, *args, **kwargs)

  monkeypatch.setattr(prepare, 'prepare_video', vanishing)
  run(source, tmp_path / 'out')
  assert reasons(tmp_path / 'out') == {'a1': 'no such file'}


@pytest.mark.parametrize('code', [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.EIO])
def test_a_fault_of_the_machine_ends_the_job_and_blames_no_video(source, tmp_path, monkeypatch, code):
  with monkeypatch.context() as patch:
    failing_for_a1(patch, OSError(code, os.strerror(code)))
    with pytest.raises(DataError, match=f'stopped, {os.strerror(code)}; finished videos are kept') as caught:
      run(source, tmp_path / 'out')
  assert '\n' not in str(caught.value)
  summary = run(source, tmp_path / 'out')
  assert (summary.rejected, summary.resumed) == (0, 0)


def test_a_full_disk_behind_another_error_is_found(source, tmp_path, monkeypatch):
  def add(*args):
    try:
      raise OSError(errno.ENOSPC, 'No space left on device')
    finally:  # as zipfile does when it closes what it could not write
      raise ValueError("Can't close the ZIP file")

  monkeypatch.setattr(cache.Entry, 'add', add)
  with pytest.raises(DataError, match='stopped, No space left on device'):
    run(source, tmp_path / 'out')


def test_records_that_do_not_fit_on_the_disk_end_in_one_line(source, tmp_path, monkeypatch):
  class FullDisk:
    def __init__(self, *args):
      pass

    def write(self, data):
      pass

    def close(self):  # ArrayRecord's words
      raise RuntimeError('write() failed: No space left on device; writing folder-train\nFailed to close')

  with monkeypatch.context() as patch:
    patch.setattr(folder.array_record_module, 'ArrayRecordWriter', FullDisk)
    with pytest.raises(DataError, match=r'cannot be written .*No space left on device') as caught:
      run(source, tmp_path / 'out')
  assert '\n' not in str(caught.value)
  assert run(source, tmp_path / 'out').resumed == 2


def test_a_lack_of_memory_is_tried_again(source, tmp_path, monkeypatch):
  with monkeypatch.context() as patch:
    failing_for_a1(patch, MemoryError('too large'))
    assert run(source, tmp_path / 'out').rejected == 1
  assert reasons(tmp_path / 'out') == {'a1': 'unexpected MemoryError: too large'}
  summary = run(source, tmp_path / 'out')
  assert (summary.rejected, summary.resumed) == (0, 1)


def test_a_dead_process_is_a_reason_and_tried_again(source, tmp_path, monkeypatch):
  with monkeypatch.context() as patch:
    patch.setattr(worker.pool, 'run', lambda work, items, workers: [(item, False) for item in items if not work(item)])
    with pytest.raises(DataError, match=r'none of 2 videos gave a clip; .* the process died'):
      run(source, tmp_path / 'out')
  assert run(source, tmp_path / 'out').rejected == 0


@pytest.mark.parametrize(
  'damage',
  [
    lambda entry: (entry / 'outcome.json').write_text('{"clips": 1'),
    lambda entry: (entry / 'outcome.json').write_text('{"clips": 1, "rejected": []}'),
    lambda entry: (entry / '00001.npz').unlink(),
    lambda entry: (entry / '00001.npz').write_bytes((entry / '00001.npz').read_bytes()[:500]),
  ],
)
def test_damaged_work_is_done_again(source, tmp_path, damage):
  run(source, tmp_path / 'out')
  before = records.fingerprint(tmp_path / 'out')
  damage(next((tmp_path / 'out' / 'cache').glob('a1-*')))
  assert run(source, tmp_path / 'out').resumed == 1
  assert records.fingerprint(tmp_path / 'out') == before


def test_work_damaged_without_a_trace_is_found_when_it_is_needed(source, tmp_path):
  run(source, tmp_path / 'out')
  file = next((tmp_path / 'out' / 'cache').glob('a1-*')) / '00001.npz'
  data = file.read_bytes()
  file.write_bytes(data[:1000] + bytes(1000) + data[2000:])
  videos.write(source / 'c1.mp4', 12)
  with pytest.raises(DataError, match=r'00001.npz: damaged .*run edtalk prepare again'):
    run(source, tmp_path / 'out')
  assert run(source, tmp_path / 'out').resumed == 2


@pytest.mark.parametrize('text', ['{', '[]', '{"a1": "dev"}', b'\xff'])
def test_corrupt_splits_end_in_one_line(source, tmp_path, text):
  run(source, tmp_path / 'out')
  (tmp_path / 'out' / job.SPLITS_FILE).write_bytes(text.encode() if isinstance(text, str) else text)
  with pytest.raises(DataError, match=r'splits.json: corrupt, expected an object') as caught:
    run(source, tmp_path / 'out')
  assert '\n' not in str(caught.value)


def test_records_that_are_no_longer_whole_are_written_again(source, tmp_path):
  out = tmp_path / 'out'
  run(source, out)
  before = records.fingerprint(out)
  for name in ('*.array_record*', 'clips.json', 'dataset_info.json', 'features.json'):
    next(records.find_dataset(out).glob(name)).unlink()
    assert run(source, out).resumed == 2
    assert records.fingerprint(out) == before


def test_every_process_writes_the_same_bytes(source, tmp_path):
  run(source, tmp_path / 'here')
  # Two, because two processes may agree about an order by chance.
  for name in ('p1', 'p2'):
    code = (
      'from tests.data_pipeline.conftest import run; import pathlib; '
      f'run(pathlib.Path({os.fspath(source)!r}), pathlib.Path({os.fspath(tmp_path / name)!r}))'
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=pathlib.Path(__file__).parents[2])
    assert records.fingerprint(tmp_path / name) == records.fingerprint(tmp_path / 'here')


def test_running_again_does_not_unpack_the_clips(source, tmp_path, monkeypatch):
  run(source, tmp_path / 'out')
  before = (tmp_path / 'out' / job.MANIFEST).read_bytes()
  monkeypatch.setattr(np, 'load', None)
  run(source, tmp_path / 'out')
  assert (tmp_path / 'out' / job.MANIFEST).read_bytes() == before


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'workers': -1}, '--workers must be at least 0, got -1'),
    ({'max_rejected': 1.5}, '--max-rejected must be between 0 and 1, got 1.5'),
  ],
)
def test_wrong_numbers_end_in_one_line(source, tmp_path, options, message):
  with pytest.raises(DataError, match=message):
    run(source, tmp_path / 'out', **options)


def test_a_file_in_the_way_ends_in_one_line(source, tmp_path):
  (tmp_path / 'out').write_text('a file')
  with pytest.raises(DataError, match='expected a folder, found a file'):
    run(source, tmp_path / 'out')


def test_nothing_is_left_among_temporary_files(source, tmp_path, monkeypatch):
  temporary = tmp_path / 'temporary'
  temporary.mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(temporary))
  run(source, tmp_path / 'out')
  assert list(temporary.iterdir()) == []
