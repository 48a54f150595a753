"""One life of a training run, watched and killed from outside."""

import contextlib
import os
import pathlib
import queue
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

ROOT = pathlib.Path(__file__).parents[2]
PATIENCE = 600  # seconds until an awaited event, or the end of the processes that survive a kill, counts as a hang


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
      command,
      cwd=ROOT,
      env=environment,
      text=True,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      start_new_session=True,
    )
    self._queue: queue.Queue[str] = queue.Queue()
    self._reader = threading.Thread(target=self._read, daemon=True)
    self._reader.start()

  def __enter__(self) -> 'Life':
    return self

  def __exit__(self, *exception) -> None:
    """Leaves nothing running, however the soak itself ends."""
    for process in _session(self._process):
      with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)

  def _read(self) -> None:
    for line in self._process.stdout:
      self._queue.put(line.rstrip('\n'))

  @property
  def process_id(self) -> int:
    """Of the command."""
    return self._process.pid

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
    while _session(self._process):
      if time.monotonic() > deadline:
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


def _session(process: subprocess.Popen) -> list[int]:
  """What lives of the command and of all that it started, zombies aside."""
  process.poll()
  listed = subprocess.run(['ps', '-o', 'pid=,stat=', '-s', str(process.pid)], capture_output=True, text=True).stdout
  return [int(line.split()[0]) for line in listed.splitlines() if not line.split()[1].startswith('Z')]


def _trainers(launcher: int) -> list[int]:
  """The training processes that a launcher has started."""
  found = subprocess.run(['ps', '-o', 'pid=,args=', '--ppid', str(launcher)], capture_output=True, text=True).stdout
  return [int(line.split()[0]) for line in found.splitlines() if 'train.py' in line]
