"""A run that stands still says where."""

import dataclasses
import pathlib
import subprocess
import sys
import time

from edtalk_jax import terminal
from edtalk_jax.config import CheckpointConfig, GuardConfig, LogConfig
from edtalk_jax.training import metrics
from edtalk_jax.training.watchdog import Watchdog
from tests.faults import toy

LIMIT = 60.0  # seconds, after which a test gives up on what takes a fraction of one


def reports(workdir):
  return [path.read_text() for path in sorted((workdir / 'stalls').glob('*.txt'))]


def wait_for(condition):
  end = time.monotonic() + LIMIT
  while not condition():
    assert time.monotonic() < end, 'gave up waiting'
    time.sleep(0.02)


def test_a_stall_is_reported_once_with_every_stack(tmp_path, capfd):
  said = lambda: capfd.readouterr().err
  with Watchdog(tmp_path, 0.1, also=lambda: ['data worker 7: making example 5']) as watchdog:
    watchdog.begins('reading the batch of step 3')
    text = ''
    while 'waiting on' not in text:
      text += said()
    (report,) = reports(tmp_path)
    watchdog.begins('step 3', patience=1e6)
    while 'reading the batch of step 3 ended after' not in text:
      text += said()
  assert report.startswith('reading the batch of step 3: no progress for 0 s\ndata worker 7: making example 5\n')
  assert 'test_a_stall_is_reported_once' in report and 'test_a_stall_is_reported_once' in text  # where it stands
  assert text.count('no progress') == 1 and reports(tmp_path) == [report]


def test_a_first_step_may_take_longer_and_zero_seconds_watch_nothing(tmp_path):
  with Watchdog(tmp_path, 0.05) as patient, Watchdog(tmp_path, 0.0) as never:
    patient.begins('the first step', patience=1e6)
    never.begins('any step')
    with Watchdog(tmp_path, 0.05) as watchdog:
      watchdog.begins('step 2')
      wait_for(lambda: len(reports(tmp_path)) == 1)  # the others have had as much time
  assert reports(tmp_path)[0].startswith('step 2: no progress')


def test_it_can_end_a_process_that_hangs(tmp_path):
  code = (
    'import pathlib, threading; from edtalk_jax.training.watchdog import Watchdog\n'
    'with Watchdog(pathlib.Path("."), 0.1, end=True) as dog:\n'
    '  dog.begins("step 8"); threading.Lock().acquire() and threading.Event().wait()'
  )
  root = pathlib.Path(__file__).parents[2]
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=tmp_path,
    env={'PYTHONPATH': str(root)},
    timeout=LIMIT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == terminal.UNAVAILABLE
  assert 'step 8: no progress for 0 s; stacks of all threads above and in stalls' in done.stderr
  assert done.stderr.strip().endswith('ending') and 'wait' in reports(tmp_path)[0]


def test_a_loader_that_hangs_is_named_and_the_run_continues(tmp_path, capfd):
  """The loader waits for the report of its own stall."""
  stuck = 3

  def batches(start):
    for batch in toy.from_step(start):
      if batch['index'][0] == 8 * (stuck - 1):
        wait_for(lambda: any(f'reading the batch of step {stuck}' in text for text in reports(tmp_path)))
      yield batch

  config = dataclasses.replace(
    toy.CONFIG,
    log=LogConfig(every=1, samples_every=0),
    checkpoint=CheckpointConfig(every=4),
    guard=GuardConfig(stall_seconds=0.5),
  )
  toy.train(config, tmp_path, batches)
  assert len(metrics.read_lines(tmp_path / metrics.FILE)) == 4
  assert f'reading the batch of step {stuck}: no progress' in capfd.readouterr().err
  (report,) = [text for text in reports(tmp_path) if f'reading the batch of step {stuck}' in text]
  assert 'fit.py' in report and 'wait_for' in report  # where the loop waits, and where the loader hangs
