"""What may go wrong in a job: each fault is either one video's, the machine's, or the user's, and is told as such."""

import contextlib
import errno
import json
import os
import pathlib
import resource
import subprocess
import sys

import numpy as np
import pytest

from data_pipeline import job, media, prepare, records
from data_pipeline.datasets import folder
from data_pipeline.errors import DataError
from tests.data_pipeline import videos
from tests.data_pipeline.conftest import failing, run


@pytest.fixture
def source(tmp_path):
  """A folder with two videos, a1 and b1."""
  for name in ('a1', 'b1'):
    videos.write(tmp_path / 'in' / f'{name}.mp4', 12)
  return tmp_path / 'in'


def die(path, *args):
  """Stands for a decoder that crashes."""
  os._exit(1)


@contextlib.contextmanager
def files_of_at_most(size):
  """Lets this process write no file beyond `size` bytes: the nearest to a full disk that can be had everywhere."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def reasons(out):
  rows = [json.loads(line) for line in (out / job.MANIFEST).read_text(encoding='utf-8').splitlines()]
  return {row['video']: row['reason'] for row in rows if row['status'] == 'rejected'}


@pytest.mark.parametrize('error', [media.MediaError('x: breaks off'), DataError('changed while it was read')])
def test_what_is_wrong_with_one_video_rejects_only_that(source, tmp_path, error):
  assert run(source, tmp_path / 'out', prepare_video=failing('a1', error)).rejected == 1
  assert reasons(tmp_path / 'out') == {'a1': str(error)}
  assert run(source, tmp_path / 'out').resumed == 2


class Spoiler:
  """Finds the drawn face, and spoils the file while the first pass over it is under way."""

  def __init__(self, spoil):
    self._spoil, self._points = spoil, videos.face_landmarks(1)[0]

  def boxes(self, frame, thorough=True):
    self._spoil()
    return np.concatenate([self._points.min(0), self._points.max(0)])[None]

  def landmarks_in(self, frame, box):
    return self._points


def replace_by_noise(path):
  path.with_suffix('.new').write_bytes(b'noise')
  os.replace(path.with_suffix('.new'), path)


def replace_by_a_shorter_one(path):
  os.replace(videos.write(path.with_name('shorter') / path.name, 3), path)


@pytest.mark.parametrize(
  ('spoil', 'reason'),
  [
    (replace_by_noise, 'cannot be opened (Invalid data found when processing input)'),
    (replace_by_a_shorter_one, 'changed while it was read'),
    (lambda path: path.unlink(missing_ok=True), 'no such file'),
  ],
)
def test_a_file_that_changes_between_the_passes_rejects_only_that_video(source, tmp_path, spoil, reason):
  before = (source / 'a1.mp4').read_bytes()

  def prepare_video(path, config, detector, landmarks, excerpt):
    if path.stem == 'a1':
      detector, landmarks = Spoiler(lambda: spoil(path)), None
    return prepare.prepare_video(path, config, detector, landmarks, excerpt)

  run(source, tmp_path / 'out', prepare_video=prepare_video)
  assert reasons(tmp_path / 'out') == {'a1': reason}
  (source / 'a1.mp4').write_bytes(before)
  assert run(source, tmp_path / 'out').resumed == 2


def test_a_video_that_vanishes_before_its_turn_is_rejected(source, tmp_path):
  def prepare_video(path, *args):
    if path.stem == 'a1':
      path.unlink()
    return prepare.prepare_video(path, *args)

  run(source, tmp_path / 'out', prepare_video=prepare_video)
  assert reasons(tmp_path / 'out') == {'a1': 'no such file'}


@pytest.mark.parametrize(('suffix', 'name'), [('.mp4', 'clear_refs'), ('.npy', 'a1.npy')])
def test_a_file_that_cannot_be_read_is_rejected_and_tried_again(source, tmp_path, suffix, name):
  file, whole = source / f'a1{suffix}', (source / f'a1{suffix}').read_bytes()
  file.unlink()
  file.symlink_to('/proc/self/clear_refs')  # can be written only; not even root can read it
  try:
    file.read_bytes()
  except OSError as error:
    why = error.strerror
  summary = run(source, tmp_path / 'out')
  assert (summary.rejected, summary.resumed) == (1, 0)
  assert reasons(tmp_path / 'out') == {'a1': f'{name} cannot be read ({why})'}
  file.unlink()
  file.write_bytes(whole)
  assert run(source, tmp_path / 'out').rejected == 0


@pytest.mark.parametrize('code', [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.EIO])
def test_a_fault_of_the_machine_ends_the_job_and_blames_no_video(source, tmp_path, code):
  broken = failing('a1', OSError(code, os.strerror(code)))
  with pytest.raises(DataError, match=f'stopped, {os.strerror(code)}; finished videos are kept') as caught:
    run(source, tmp_path / 'out', prepare_video=broken)
  assert '\n' not in str(caught.value)
  summary = run(source, tmp_path / 'out')
  assert (summary.rejected, summary.resumed) == (0, 0)


def test_a_full_disk_behind_another_error_is_found(source, tmp_path):
  def prepare_video(path, *args):
    try:
      raise OSError(errno.ENOSPC, 'No space left on device')
    finally:  # as zipfile does when it closes what it could not write
      raise ValueError("Can't close the ZIP file")

  with pytest.raises(DataError, match='stopped, No space left on device'):
    run(source, tmp_path / 'out', prepare_video=prepare_video)


def test_a_full_disk_ends_the_job_where_a_clip_is_written(source, tmp_path):
  def prepare_video(path, *args):
    [entry] = (tmp_path / 'out' / 'cache').glob(f'.{path.stem}-*')
    for clip in prepare.prepare_video(path, *args):
      (entry / f'{clip.number:05d}.npz').symlink_to('/dev/full')
      yield clip

  with pytest.raises(DataError, match='stopped, No space left on device'):
    run(source, tmp_path / 'out', prepare_video=prepare_video)
  assert run(source, tmp_path / 'out').rejected == 0


def test_records_that_do_not_fit_on_the_disk_end_in_one_line(source, tmp_path):
  run(source, tmp_path / 'out')
  before = records.fingerprint(tmp_path / 'out')
  [info] = (tmp_path / 'out' / 'folder').rglob('made_from.txt')
  info.unlink()  # so that they are written again
  with files_of_at_most(2000), pytest.raises(DataError, match=r'cannot be written .*File too large') as caught:
    run(source, tmp_path / 'out')
  assert '\n' not in str(caught.value)
  assert run(source, tmp_path / 'out').resumed == 2
  assert records.fingerprint(tmp_path / 'out') == before


def test_a_full_disk_is_named_by_what_writes_the_records(prepared, tmp_path):
  def source():
    [building] = (tmp_path / '.building' / 'folder').iterdir()
    (building / 'folder-train.array_record-00000').symlink_to('/dev/full')
    yield records.Clips(prepared, 'train')[0].record

  with pytest.raises(DataError, match=r'cannot be written .*No space left on device') as caught:
    folder.write(tmp_path, {'train': source})
  assert '\n' not in str(caught.value)


def test_a_lack_of_memory_is_tried_again(source, tmp_path):
  short_of_memory = failing('a1', MemoryError('too large'))
  assert run(source, tmp_path / 'out', prepare_video=short_of_memory).rejected == 1
  assert reasons(tmp_path / 'out') == {'a1': 'unexpected MemoryError: too large'}
  summary = run(source, tmp_path / 'out')
  assert (summary.rejected, summary.resumed) == (0, 1)


@pytest.mark.integration
def test_a_dead_process_is_a_reason_and_tried_again(source, tmp_path):
  (source / 'b1.mp4').unlink()
  with pytest.raises(DataError, match=r'none of 1 videos gave a clip; .* the process died'):
    run(source, tmp_path / 'out', workers=1, prepare_video=die)
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


@pytest.mark.integration
def test_every_process_writes_the_same_bytes_and_leaves_no_temporary_file(source, tmp_path):
  temporary = tmp_path / 'temporary'
  temporary.mkdir()
  run(source, tmp_path / 'here')
  # Two, because two processes may agree about an order by chance.
  for name in ('p1', 'p2'):
    code = (
      'from tests.data_pipeline.conftest import run; import pathlib; '
      f'run(pathlib.Path({os.fspath(source)!r}), pathlib.Path({os.fspath(tmp_path / name)!r}))'
    )
    environment = {**os.environ, 'TMPDIR': str(temporary)}
    subprocess.run([sys.executable, '-c', code], check=True, cwd=pathlib.Path(__file__).parents[2], env=environment)
    assert list(temporary.iterdir()) == []
    assert records.fingerprint(tmp_path / name) == records.fingerprint(tmp_path / 'here')


def test_running_again_does_not_unpack_the_clips(source, tmp_path):
  run(source, tmp_path / 'out')
  before = (tmp_path / 'out' / job.MANIFEST).read_bytes()
  clips = [*(tmp_path / 'out' / 'cache').rglob('*.npz')]
  for clip in clips:  # which could not be unpacked any more
    clip.write_bytes(bytes(clip.stat().st_size))
  assert len(clips) == run(source, tmp_path / 'out').resumed == 2
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
