"""Whole runs of the toy stage with records and workdir on object storage."""

import signal

from benchmarks import soak
from edtalk_jax.storage import Store
from edtalk_jax.training import lease, metrics
from edtalk_jax.training.remote import RemoteRun
from tests.faults.processes import Command
from tests.faults.test_processes import LAUNCH, SAME, losses, state_of
from tests.s3 import upload


def finished(words):
  with Command(words) as run:
    assert run.end() == 0, run.text()
  return run.lines


def download(url):
  """A copy of the run as a folder, checkpoints included."""
  remote = RemoteRun(url)
  remote.fetch('latest', None, print)
  return remote.stage


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
  steps = max(line['step'] for line in metrics.read_lines(download(run) / metrics.FILE)) // 5 * 5 + 10
  said = finished((*toy_command(run, steps), '--data', records))
  assert any(line.startswith('resuming at step ') for line in said)
  finished(toy_command(tmp_path / 'reference', steps))
  copy = download(run)
  assert soak.differences(tmp_path / 'reference', copy) == []
  assert list(losses(copy)) == list(range(1, steps + 1))
  assert store.read(lease.FILE) is None


def test_two_processes_that_share_no_folder_save_one_checkpoint(bucket, toy_command, train_here, tmp_path):
  """Each has a stage of its own. What they save, they read, and so does one process."""
  finished((*LAUNCH, *toy_command(bucket, 5), '--set', 'mesh.fsdp=2'))
  said = finished((*LAUNCH, *toy_command(bucket, 10), '--set', 'mesh.fsdp=2'))
  assert 'resuming at step 5' in said
  copy = download(bucket)
  train_here(tmp_path / 'one', 10, devices=4, fsdp=2)
  ours, theirs = losses(copy), losses(tmp_path / 'one')
  assert ours.keys() == theirs.keys()
  for step, line in ours.items():
    assert all(abs(value - theirs[step][name]) <= SAME * max(1, abs(value)) for name, value in line.items()), step
  one, two = state_of(copy, 10, 2, 1), state_of(tmp_path / 'one', 10, 2, 1)
  assert one.keys() == two.keys()
  assert all(abs(one[name] - two[name]).max() <= SAME for name in one if one[name].size)
