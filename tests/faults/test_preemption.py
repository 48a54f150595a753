"""SIGTERM and SIGINT: saved at the next step that all processes share, exit code 75, and on as if nothing had been."""

import dataclasses
import os
import re
import signal

import pytest

from edtalk_jax import terminal
from edtalk_jax.config import CheckpointConfig, LogConfig
from edtalk_jax.training import hooks, metrics, preemption
from edtalk_jax.training.preemption import Preemption
from edtalk_jax.training.shelf import Shelf
from tests.faults import toy
from tests.faults.processes import Command


def lines_of(workdir):
  """Metric lines without timing, in order."""
  return [metrics.untimed(line) for line in metrics.read_lines(workdir / metrics.FILE)]


@pytest.mark.integration
def test_sigterm_to_the_group_saves_and_the_same_command_goes_on(toy_command, tmp_path):
  """With data workers, which are of the group; and once more while it is being obeyed."""
  run, whole, workers = tmp_path / 'run', tmp_path / 'whole', ('--set', 'data.workers=2', 'log.every=3')
  with Command(toy_command(run, 100000, *workers)) as command:
    command.wait_for('step 6/')
    command.signal_group(signal.SIGTERM)
    command.wait_for('SIGTERM: saving')
    command.signal_group(signal.SIGTERM)
    command.signal_group(signal.SIGINT)
    assert command.end() == terminal.PREEMPTED, command.text()
  saved = int(re.search(r'stopped: step (\d+) is saved; run the same command again', command.text()).group(1))
  assert Shelf(run).steps()[-1] == saved
  assert 'Traceback' not in command.text()

  steps = saved + 10
  for workdir in (run, whole):
    with Command(toy_command(workdir, steps, *workers)) as command:
      assert command.end() == 0, command.text()
    assert (f'resuming at step {saved}' in command.text()) == (workdir == run)
  assert lines_of(run) == lines_of(whole)


@pytest.mark.release
def test_sigterm_stops_two_processes_at_the_same_step(toy_command, tmp_path):
  words = ('-m', 'launch.local', '--processes', 2, '--', *toy_command(tmp_path / 'run', 100000))
  with Command(words) as command:
    processes = re.search(r'processes ([\d ]+),', command.wait_for('launch.local: processes')).group(1).split()
    command.wait_for('step 6/')
    os.kill(int(processes[1]), signal.SIGTERM)  # one host's notice is enough
    assert command.end() == terminal.PREEMPTED, command.text()
  saved = sorted(line for line in command.lines if 'is saved' in line)
  assert len(saved) == 2 and saved[0] == f'[1] {saved[1]}', command.text()
  assert f'stopped: step {Shelf(tmp_path / "run").steps()[-1]} is saved' in saved[0]


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_signals_count_from_the_first_step_on(number, capfd):
  before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
  with Preemption() as preemption:
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert not preemption.reached()
    signal.raise_signal(number)
    assert preemption.reached()
    signal.raise_signal(number)
    assert preemption.reached()
  assert [line.split(':')[0] for line in capfd.readouterr().err.splitlines()] == [number.name, f'{number.name} again']
  try:
    assert signal.getsignal(number) is signal.SIG_IGN  # the process is ending; its exit code is to tell
  finally:
    signal.signal(signal.SIGTERM, before[0])
    signal.signal(signal.SIGINT, before[1])


def test_several_processes_ask_by_numbers_that_go_up_one_by_one_whatever_the_step(monkeypatch):
  """JAX sets the sync point to one more than what has been asked, and misses it if numbers then jump over it."""
  asked = []
  monkeypatch.setattr(preemption.jax, 'process_count', lambda: 2)
  monkeypatch.setattr(preemption.multihost_utils, 'reached_preemption_sync_point', lambda n: asked.append(n))
  for _ in range(2):  # two stages of a chain
    with Preemption() as notices:
      notices.reached()
      notices.reached()
  assert asked == [*range(asked[0], asked[0] + 4)]


class Notice(hooks.Hook):
  """A scheduler's SIGTERM while step 3 is logged."""

  def __call__(self, step):
    if step.number == 3:
      signal.raise_signal(signal.SIGTERM)


def test_a_preempted_run_saves_without_validation_and_resumes_as_if_nothing_had_been(tmp_path):
  config = dataclasses.replace(
    toy.CONFIG,
    run=dataclasses.replace(toy.CONFIG.run, steps=6),
    log=LogConfig(every=1, samples_every=0),
    checkpoint=CheckpointConfig(every=2),
  )
  whole, parts, held_out = tmp_path / 'whole', tmp_path / 'parts', [toy.batch(99)]
  before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
  try:
    with pytest.raises(terminal.Preempted, match='step 3 is saved; run the same command again'):
      toy.train(config, parts, toy.from_step, held_out, hooks=[Notice(1)])
  finally:
    signal.signal(signal.SIGTERM, before[0])
    signal.signal(signal.SIGINT, before[1])
  assert Shelf(parts).steps() == [2, 3]
  assert [line['step'] for line in lines_of(parts) if 'validation/loss' in line] == [2]
  toy.train(config, parts, toy.from_step, held_out)
  toy.train(config, whole, toy.from_step, held_out)
  assert lines_of(parts) == lines_of(whole)
