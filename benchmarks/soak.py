"""Kills a run again and again, starts it again, and compares the end with a run that was never killed.

python -m benchmarks.soak --kills 50
python -m benchmarks.soak --minutes 10 --processes 4 --toy

Kills are SIGKILL from outside, aimed at moments that are seen from outside: during start-up, between steps, when a
validation begins, when a folder of a save or of a deletion appears. With several processes one of them, drawn at
random, is killed, and the others have to end by themselves. Then both runs must agree bit for bit: every array of the
last checkpoint, every metric line but its timing, every sample picture. Exit code 1 if they do not.
"""

import argparse
import collections
import dataclasses
import os
import pathlib
import queue
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
import orbax.checkpoint as ocp

from edtalk_jax.training import checkpoint, metrics
from edtalk_jax.training.shelf import OLD, PART, Shelf

ROOT = pathlib.Path(__file__).parents[1]
SAVE_EVERY = 10  # steps, as the configurations say
TRAIN = ('train.py', '--config', 'benchmarks/soak_config.py')
TOY_SCRIPT = 'tests/faults/toy_train.py'
TOY = (TOY_SCRIPT, '--config', TOY_SCRIPT, '--set', f'checkpoint.every={SAVE_EVERY}')
ENDLESS = 1_000_000  # steps; a killed life never gets there
PATIENCE = 600  # seconds until an awaited event, or the end of the processes that survive a kill, counts as a hang
TIMING = ('examples_per_second',)


class Failed(Exception):
  """The run did something that it promises not to do; the text says what."""


class Life:
  """One start of the command, and what it prints."""

  def __init__(self, command: Sequence[str], environment: dict[str, str]):
    self.began = time.monotonic()
    self.lines: list[str] = []
    self.first_step_after: float | None = None
    self.resumed_at, self.last_step = 0, 0
    self._process = subprocess.Popen(
      command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
      start_new_session=True,
    )  # fmt: skip
    self._queue: queue.Queue[str] = queue.Queue()
    self._reader = threading.Thread(target=self._read, daemon=True)
    self._reader.start()

  def _read(self) -> None:
    for line in self._process.stdout:
      self._queue.put(line.rstrip('\n'))

  def ended(self) -> bool:
    """Whether the command has ended, by itself or killed."""
    return self._process.poll() is not None

  def poll(self, seconds: float = 0.002) -> str | None:
    """The next line, None if there is none for so long."""
    try:
      line = self._queue.get(timeout=seconds)
    except queue.Empty:
      return None
    self.lines.append(line)
    if match := re.match(r'resuming at step (\d+)', line):
      self.resumed_at = self.last_step = int(match[1])
    if match := re.match(r'step (\d+)/', line):
      self.last_step = int(match[1])
    if line.startswith('first step done'):
      self.first_step_after = time.monotonic() - self.began
    return line

  def wait_for(self, event: Callable[[str | None], bool], seconds: float = PATIENCE) -> None:
    """Reads lines until `event` is true of one, or of None between two."""
    deadline = time.monotonic() + seconds
    while not event(self.poll()):
      if self.ended() or time.monotonic() > deadline:
        raise Failed(f'{"ended" if self.ended() else "hangs"} before it was killed: {self.tail()}')

  def kill(self, rng: random.Random, processes: int) -> None:
    """Kills the command's process, or one of those that it started, and waits until all have ended."""
    victims = [self._process.pid] if processes == 1 else _trainers(self._process.pid)
    if not victims:  # the launcher has not started them yet
      victims = [self._process.pid]
    os.kill(rng.choice(victims), signal.SIGKILL)
    self._wait_for_all()

  def finish(self) -> None:
    """Waits for the end of the run."""
    self.wait_for(lambda line: self.ended(), seconds=3 * PATIENCE)
    if self._process.wait() != 0:
      raise Failed(f'exit code {self._process.returncode}: {self.tail()}')
    self._wait_for_all()

  def _wait_for_all(self) -> None:
    """Nothing that the run started may outlive it: neither peers nor data workers."""
    deadline = time.monotonic() + PATIENCE
    while _alive(self._process):
      if time.monotonic() > deadline:
        os.killpg(self._process.pid, signal.SIGKILL)
        raise Failed(f'processes still live {PATIENCE} s after one was killed: {self.tail()}')
      time.sleep(0.05)
    self._reader.join()  # all who could write are gone
    self._process.stdout.close()
    while self.poll(0) is not None:
      pass

  def tail(self) -> str:
    """The last lines, for a message."""
    while self.poll(0) is not None:
      pass
    return ' | '.join(self.lines[-5:])


def _alive(process: subprocess.Popen) -> bool:
  """Whether any process of the session lives, zombies aside."""
  process.poll()
  states = subprocess.run(['ps', '-o', 'stat=', '-s', str(process.pid)], capture_output=True, text=True).stdout
  return any(not state.strip().startswith('Z') for state in states.splitlines())


def _trainers(launcher: int) -> list[int]:
  """The training processes that a launcher has started."""
  found = subprocess.run(['ps', '-o', 'pid=,args=', '--ppid', str(launcher)], capture_output=True, text=True).stdout
  return [int(line.split()[0]) for line in found.splitlines() if 'train.py' in line]


@dataclasses.dataclass(frozen=True)
class Kill:
  """What one kill hit and cost."""

  phase: str
  steps_lost: int
  restart_seconds: float | None


class Soak:
  """The killed run: lives one after the other in one workdir."""

  def __init__(
    self,
    folder: pathlib.Path,
    environment: dict[str, str],
    processes: int,
    rng: random.Random,
    command: Sequence[str] = TRAIN,
  ):
    self._command = command
    self.workdir, self._records = folder / 'killed', folder / 'records'
    self._environment, self._processes, self._rng = environment, processes, rng
    self.kills: list[Kill] = []
    self.restarts: list[float] = []
    self._reached = 0

  def live(self, aim: str | None = None) -> None:
    """One life, from start to the kill that `aim` names in AIMS, by default one of them at random."""
    life = self._start(self.workdir, ENDLESS)
    AIMS[aim or self._rng.choice(sorted(AIMS))](life, self)
    life.kill(self._rng, self._processes)
    # What the killed life had shown beyond the last checkpoint must be made again by the next.
    whole = max(Shelf(self.workdir).steps(), default=0)
    self.kills.append(Kill(self._phase(life), max(0, life.last_step - whole), life.first_step_after))
    self._note(life)

  def finish(self) -> int:
    """The last life, which is not killed. Returns the number of steps of the run."""
    steps = (self._reached // SAVE_EVERY + 2) * SAVE_EVERY
    life = self._start(self.workdir, steps)
    life.finish()
    self._note(life)
    return steps

  def reference(self, workdir: pathlib.Path, steps: int) -> float:
    """The run that nobody kills. Returns the seconds from its first step to its end."""
    life = self._start(workdir, steps)
    life.finish()
    return time.monotonic() - life.began - life.first_step_after

  def leftover(self, suffix: str) -> bool:
    """Whether a folder of a save or of a deletion is there."""
    try:
      return any(suffix in name for name in os.listdir(self.workdir / 'checkpoints'))
    except FileNotFoundError:
      return False

  def random(self) -> random.Random:
    """Where all choices come from."""
    return self._rng

  def _start(self, workdir: pathlib.Path, steps: int) -> Life:
    train = [*self._command, '--workdir', str(workdir), '--data', str(self._records), '--steps', str(steps)]
    launch = ['-u'] if self._processes == 1 else [
      '-u', '-m', 'launch.local', '--processes', str(self._processes), '--devices-per-process', '1', '--'
    ]  # fmt: skip
    return Life([sys.executable, *launch, *train], self._environment)

  def _phase(self, life: Life) -> str:
    if life.first_step_after is None:
      return 'starting'
    if self.leftover(PART):
      return 'saving'
    if self.leftover(OLD):
      return 'deleting'
    last = next((line for line in reversed(life.lines) if line.startswith('step ')), '')
    if last.startswith(f'step {life.last_step}/') and life.last_step % SAVE_EVERY == 0:
      return 'validating'
    return 'between steps'

  def _note(self, life: Life) -> None:
    self._reached = max(self._reached, life.last_step)
    if life.first_step_after is not None:
      self.restarts.append(life.first_step_after)


def _while_starting(life: Life, soak: Soak) -> None:
  delay = soak.random().uniform(0, statistics.median(soak.restarts) if soak.restarts else 5)
  life.wait_for(lambda line: time.monotonic() > life.began + delay)


def _between_steps(life: Life, soak: Soak) -> None:
  count = soak.random().randrange(1, 25)
  life.wait_for(lambda line: life.last_step >= life.resumed_at + count)
  time.sleep(soak.random().uniform(0, 0.03))


def _at_validation(life: Life, soak: Soak) -> None:
  life.wait_for(lambda line: bool(re.match(r'step \d*0/', line or '')))
  time.sleep(soak.random().uniform(0, 0.01))


def _at_save(life: Life, soak: Soak) -> None:
  life.wait_for(lambda line: life.last_step > life.resumed_at)  # a leftover of the life before is gone by now
  life.wait_for(lambda line: soak.leftover(PART))
  time.sleep(soak.random().uniform(0, 0.1))


def _at_deletion(life: Life, soak: Soak) -> None:
  life.wait_for(lambda line: life.last_step > life.resumed_at)
  life.wait_for(lambda line: soak.leftover(OLD) or life.last_step >= life.resumed_at + 40)


AIMS: dict[str, Callable[[Life, Soak], None]] = {
  'start': _while_starting,
  'steps': _between_steps,
  'validation': _at_validation,
  'save': _at_save,
  'deletion': _at_deletion,
}


def differences(one: pathlib.Path, other: pathlib.Path) -> list[str]:
  """In what two finished runs differ; nothing, if all is well."""
  found = []
  lines = [_untimed(workdir) for workdir in (one, other)]
  if lines[0] != lines[1]:
    steps = [[line.get('step') if line else None for line in of] for of in lines]
    found.append(f'metrics.jsonl: {len(lines[0])} and {len(lines[1])} lines, steps equal: {steps[0] == steps[1]}')
  last = [Shelf(workdir).steps()[-1] for workdir in (one, other)]
  if last[0] != last[1]:
    return [*found, f'last checkpoints: {last[0]} and {last[1]}']
  for part in checkpoint.PARTS:
    arrays = [_arrays(Shelf(workdir).path(last[0]) / part) for workdir in (one, other)]
    found += [f'{part}/{name}' for name in arrays[0] if not np.array_equal(arrays[0][name], arrays[1].get(name))]
  pictures = [{path.name: path.read_bytes() for path in (workdir / 'samples').glob('*')} for workdir in (one, other)]
  if pictures[0] != pictures[1]:
    found.append(f'samples: {sorted(pictures[0])} and {sorted(pictures[1])}')
  return found


def _untimed(workdir: pathlib.Path) -> list[dict | None]:
  lines = metrics.read_lines(workdir / metrics.FILE)
  return [line and {name: value for name, value in line.items() if name not in TIMING} for line in lines]


def _arrays(part: pathlib.Path) -> dict[str, np.ndarray]:
  with ocp.PyTreeCheckpointer() as reader:
    tree = reader.metadata(part).item_metadata.tree
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
    found = reader.restore(part, args=ocp.args.PyTreeRestore(restore_args=as_numpy))
  leaves, _ = jax.tree.flatten_with_path(found)
  return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def report(soak: Soak, wall: float, productive: float, steps: int) -> str:
  """The table: kills, steps lost and restart seconds by phase, and goodput."""
  rows = ['| killed while | kills | steps lost, mean | most |', '| --- | --- | --- | --- |']
  by_phase = collections.defaultdict(list)
  for kill in soak.kills:
    by_phase[kill.phase].append(kill.steps_lost)
    by_phase['all'].append(kill.steps_lost)
  for phase, lost in sorted(by_phase.items(), key=lambda item: (item[0] == 'all', item[0])):
    rows.append(f'| {phase} | {len(lost)} | {statistics.mean(lost):.1f} | {max(lost)} |')
  restart = soak.restarts
  return '\n'.join([
    *rows,
    f'{steps} steps in {wall:.0f} s; from start to first step {statistics.median(restart):.1f} s (median), '
    f'{max(restart):.1f} s (most); goodput {100 * productive / wall:.1f} % '
    f'({productive:.0f} s of steps in the run that was never killed)',
  ])  # fmt: skip


def prepare(folder: pathlib.Path, processes: int = 1, seed: int = 0, command: Sequence[str] = TRAIN) -> Soak:
  """Makes the records, and a run that has not begun."""
  environment = {**os.environ, 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0', 'PYTHONUNBUFFERED': '1'}
  environment.setdefault('JAX_COMPILATION_CACHE_DIR', str(folder / 'cache'))
  if not (folder / 'records').exists():
    making = ['-m', 'edtalk_jax.cli', 'make-synthetic', '--clips', '8', '--size', '32', '--out']
    subprocess.run([sys.executable, *making, str(folder / 'records')], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
  return Soak(folder, environment, processes, random.Random(seed), command)


def soak(
  folder: pathlib.Path, kills: int, minutes: float, processes: int, seed: int, command: Sequence[str]
) -> list[str]:
  """Kills, finishes, compares. Returns the differences and prints the table."""
  run = prepare(folder, processes, seed, command)
  run.reference(folder / 'warm-up', SAVE_EVERY)  # compiles once, so that every later start finds the programs
  began = time.monotonic()
  while len(run.kills) < kills if kills else time.monotonic() < began + 60 * minutes:
    run.live()
    print(f'kill {len(run.kills)}: {run.kills[-1].phase}', flush=True)
  steps = run.finish()
  wall = time.monotonic() - began
  productive = run.reference(folder / 'reference', steps)
  print(report(run, wall, productive, steps))
  return differences(folder / 'reference', run.workdir)


def main() -> None:
  """Parses, runs, says whether the two runs agree."""
  parser = argparse.ArgumentParser(description='Kills a run at random and compares its end with a run never killed.')
  parser.add_argument('--kills', type=int, default=0, help='how many kills; or give --minutes')
  parser.add_argument('--minutes', type=float, default=0, help='how long to kill')
  parser.add_argument('--processes', type=int, default=1, help='processes of the run; one of them is killed')
  parser.add_argument('--toy', action='store_true', help="the tests' toy stage, which compiles in seconds")
  parser.add_argument('--seed', type=int, default=0, help='of all choices')
  parser.add_argument('--out', default='', help='where the runs are kept; default: a temporary folder')
  arguments = parser.parse_args()
  if not arguments.kills and not arguments.minutes:
    parser.error('give --kills or --minutes')
  with tempfile.TemporaryDirectory() as temporary:
    try:
      found = soak(pathlib.Path(arguments.out or temporary).resolve(), arguments.kills, arguments.minutes,
                   arguments.processes, arguments.seed, TOY if arguments.toy else TRAIN)  # fmt: skip
    except Failed as failure:
      found = [str(failure)]
  print('\n'.join(found) if found else 'bit-equal to the run that was never killed: arrays, metric lines, samples')
  raise SystemExit(1 if found else 0)


if __name__ == '__main__':
  main()
