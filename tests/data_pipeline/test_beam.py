"""Preparation by Apache Beam: the same records, whoever did the work."""

import importlib.util
import os
import pathlib
import signal

import pytest

from data_pipeline import beam_runner, cache, inputs, job, prepare, records, worker
from data_pipeline.errors import DataError
from tests.data_pipeline import videos
from tests.data_pipeline.conftest import CONFIG
from tests.data_pipeline.test_mock_trees import build, rows

HAS_BEAM = importlib.util.find_spec('apache_beam') is not None
needs_beam = pytest.mark.skipif(
  not HAS_BEAM,
  reason='needs the extra [beam], which wants older versions of pillow, '
  'protobuf and pyarrow than constraints.txt pins (docs/datasets.md)',
)


def tasks(tmp_path, *names):
  """Tasks whose entries are not there yet."""
  return [
    worker.Task(
      inputs.Video(tmp_path / f'{name}.mp4', name, tmp_path / f'{name}.npy'),
      cache.Entry(tmp_path / 'cache', name, name),
      name,
    )
    for name in names
  ]


def kill_at_b(path, *args, **kwargs):
  """Stands for a decoder that crashes on one video."""
  if pathlib.Path(path).stem == 'b':
    os.kill(os.getpid(), signal.SIGKILL)
  return prepare.prepare_video(path, *args, **kwargs)


def full_disk(path, *args, **kwargs):
  raise OSError(28, 'No space left on device')


@pytest.mark.integration
def test_a_chunk_does_what_is_missing_and_survives_a_crash(tmp_path):
  chunk = tasks(tmp_path, 'a', 'b', 'c')
  for task in chunk:
    videos.write(task.video.path, 12)
  worker.prepare_one(chunk[0], CONFIG)
  before = chunk[0].entry.folder.stat().st_ino
  assert beam_runner.prepare_chunk(chunk, CONFIG, kill_at_b) == 2  # b and c
  assert chunk[0].entry.folder.stat().st_ino == before
  assert [task.entry.outcome().retry for task in chunk] == [False, True, False]
  assert 'the process died' in chunk[1].entry.outcome().rejected[0].reason


@pytest.mark.parametrize('count', [1, 2, 63, 64, 1000, 34_100])
def test_chunks_hold_every_task_once(tmp_path, count):
  chunks = list(beam_runner._chunks(range(count)))
  assert [task for chunk in chunks for task in chunk] == list(range(count))
  assert max(map(len, chunks)) <= 8 and len(chunks) >= min(count, 64)


@pytest.mark.skipif(HAS_BEAM, reason='Beam is installed')
def test_without_beam_one_line_says_what_to_install(mead_tree, tmp_path):
  with pytest.raises(DataError, match=r'--beam needs Apache Beam .*pip install "edtalk-jax\[beam\]"') as caught:
    build(mead_tree, tmp_path, dataset='mead', beam='runner=DirectRunner')
  assert '\n' not in str(caught.value)


@pytest.mark.release
@needs_beam
@pytest.mark.parametrize(
  'options',
  [
    'runner=FnApiRunner,direct_num_workers=2,direct_running_mode=multi_processing',
    'runner=PortableRunner,job_endpoint=embed,environment_type=LOOPBACK',
  ],
)
def test_beam_writes_the_same_records(mead_tree, tmp_path, options):
  build(mead_tree, tmp_path / 'one', dataset='mead')
  build(mead_tree, tmp_path / 'beam', dataset='mead', beam=options)
  assert records.fingerprint(tmp_path / 'beam') == records.fingerprint(tmp_path / 'one')
  assert rows(tmp_path / 'beam') == rows(tmp_path / 'one')


@pytest.mark.release
@needs_beam
def test_a_fault_of_the_machine_ends_the_pipeline_in_one_line(mead_tree, tmp_path):
  with pytest.raises(DataError, match=r'--beam: the pipeline ended in an error .*No space left') as caught:
    build(mead_tree, tmp_path, dataset='mead', beam='runner=FnApiRunner', prepare_video=full_disk)
  assert '\n' not in str(caught.value)
  assert build(mead_tree, tmp_path, dataset='mead').resumed == 0 and (tmp_path / job.MANIFEST).is_file()
