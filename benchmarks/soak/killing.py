"""A run that is killed again and again, at moments that are seen from outside."""

import dataclasses
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks.soak.life import ROOT, Life
from edtalk_jax.training.shelf import OLD, PART, Shelf

TRAIN = ('train.py', '--config', 'benchmarks/soak/config.py')
SAVE_EVERY = 10  # steps, as the configurations say
ENDLESS = 1_000_000  # steps; a killed life never gets there


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
    command: Sequence[str],
  ):
    self._command = command
    self.workdir, self._records = folder / 'killed', folder / 'records'
    self._environment, self._processes, self._rng = environment, processes, rng
    self.kills: list[Kill] = []
    self.restarts: list[float] = []
    self._reached = 0

  def live(self, aim: str | None = None) -> None:
    """One life, from start to the kill that `aim` names in AIMS, by default one of them at random."""
    with self._start(self.workdir, ENDLESS) as life:
      AIMS[aim or self._rng.choice(sorted(AIMS))](life, self)
      life.kill(self._rng, self._processes)
    # What the killed life had shown beyond the last checkpoint must be made again by the next.
    whole = max(Shelf(self.workdir).steps(), default=0)
    self.kills.append(Kill(self._phase(life), max(0, life.last_step - whole), life.first_step_after))
    self._note(life)

  def finish(self) -> int:
    """The last life, which is not killed. Returns the number of steps of the run."""
    steps = (self._reached // SAVE_EVERY + 2) * SAVE_EVERY
    with self._start(self.workdir, steps) as life:
      life.finish()
    self._note(life)
    return steps

  def reference(self, workdir: pathlib.Path, steps: int) -> float:
    """The run that nobody kills. Returns the seconds from its first step to its end."""
    with self._start(workdir, steps) as life:
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
    launch = (
      ['-u']
      if self._processes == 1
      else ['-u', '-m', 'launch.local', '--processes', str(self._processes), '--devices-per-process', '1', '--']
    )
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


def prepare(folder: pathlib.Path, processes: int = 1, seed: int = 0, command: Sequence[str] = TRAIN) -> Soak:
  """Makes the records, and a run that has not begun."""
  given = {'PYTHONPATH': str(ROOT), 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0', 'PYTHONUNBUFFERED': '1'}
  environment = {**os.environ, **given}
  environment.setdefault('JAX_COMPILATION_CACHE_DIR', str(folder / 'cache'))
  if not (folder / 'records').exists():
    making = ['-m', 'edtalk_jax.cli', 'make-synthetic', '--clips', '8', '--size', '32', '--out']
    subprocess.run([sys.executable, *making, str(folder / 'records')], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
  return Soak(folder, environment, processes, random.Random(seed), command)
