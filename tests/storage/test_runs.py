"""Whole runs of the toy stage with records and workdir on object storage."""

import shutil
import signal

import pytest

from benchmarks.soak.comparison import differences
from edtalk_jax.storage import Store
from edtalk_jax.training import lease, metrics
from edtalk_jax.training.remote import RemoteRun
from tests.faults.processes import Command
from tests.faults.test_processes import LAUNCH, SAME, losses, state_of
from tests.s3 import upload

pytestmark = pytest.mark.release


def finished(words):
  with Command(words) as run:
    assert run.end() == 0, run.text()
  return run.lines


def download(url, folder):
  """Copies the run, its last checkpoint included, to a folder that it returns."""
  remote = RemoteRun(url)
  remote.fetch('latest', None, print)
  shutil.copytree(remote.stage, folder)
  remote.close()
  return folder


def test_a_killed_run_ends_as_one_in_a_folder_that_was_never_killed(bucket, heads, toy_command, tmp_path):
  records, run = f'{bucket}/records', f'{bucket}/run'
  upload(heads, records)
  with Command((*toy_command(run, 100000), '--data', records)) as life:
    life.wait_for('step 12/')
    life.signal_group(signal.SIGKILL)
    life.end()
  store = Store(run)
  assert store.read(lease.FILE) is not None
  store.delete([lease.FILE])  # instead of waiting until it is taken for dead
  lines = metrics.read_lines(download(run, tmp_path / 'killed') / metrics.FILE)
  steps = lines[-1]['step'] // 5 * 5 + 10
  said = finished((*toy_command(run, steps), '--data', records))
  assert any(line.startswith('resuming at step ') for line in said)
  finished(toy_command(tmp_path / 'reference', steps))
  copy = download(run, tmp_path / 'copy')
  assert differences(tmp_path / 'reference', copy) == []
  assert list(losses(copy)) == list(range(1, steps + 1))
  assert store.read(lease.FILE) is None


def test_two_processes_that_share_no_folder_save_one_checkpoint(bucket, toy_command, train_here, tmp_path):
  """Each has a stage of its own. They go on from what one process saved, and one process reads what they save."""
  train_here(bucket, 5, devices=4, fsdp=2)
  said = finished((*LAUNCH, *toy_command(bucket, 10), '--set', 'mesh.fsdp=2'))
  assert 'resuming at step 5' in said
  copy = download(bucket, tmp_path / 'copy')
  train_here(tmp_path / 'one', 10, devices=4, fsdp=2)
  ours, theirs = losses(copy), losses(tmp_path / 'one')
  assert ours.keys() == theirs.keys()
  for step, line in ours.items():
    assert all(abs(value - theirs[step][name]) <= SAME * max(1, abs(value)) for name, value in line.items()), step
  one, two = state_of(copy, 10, 2, 1), state_of(tmp_path / 'one', 10, 2, 1)
  assert one.keys() == two.keys()
  assert all(abs(one[name] - two[name]).max() <= SAME for name in one if one[name].size)
