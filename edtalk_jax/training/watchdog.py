"""Notices when a run stands still, and says where."""

import faulthandler
import os
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Sequence

from edtalk_jax.terminal import UNAVAILABLE

FOLDER = 'stalls'


class Watchdog:
  """A thread that writes every thread's stack when nothing has begun for a while. Use as a context manager.

  The loop tells it what it begins; so it knows what hangs: the data, a step, a validation. It runs on every process,
  since each may be the one that hangs. It cannot tell a hang from something slow, and therefore only speaks, unless
  told to end the process.
  """

  def __init__(
    self,
    workdir: pathlib.Path,
    seconds: float,
    *,
    end: bool = False,
    process: int = 0,
    also: Callable[[], Sequence[str]] = list,
  ):
    """Prepares the watchdog.

    Args:
      workdir: of the run; stacks are written below it.
      seconds: how long anything may take; 0 watches nothing.
      end: ends the process at once with exit code 69 instead of waiting on. No destructor runs and nothing is saved:
        the thread that would do so hangs.
      process: of several.
      also: gives further lines for the report.
    """
    self._folder, self._seconds, self._end, self._process, self._also = workdir / FOLDER, seconds, end, process, also
    self._doing, self._since, self._patience = 'start', time.monotonic(), 1.0
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._watch, name='watchdog', daemon=True)

  def __enter__(self) -> 'Watchdog':
    if self._seconds:
      self._thread.start()
    return self

  def __exit__(self, *exception) -> None:
    self._stop.set()
    if self._thread.is_alive():
      self._thread.join()

  def begins(self, doing: str, patience: float = 1.0) -> None:
    """Says what the loop does from now on; it may take `patience` times as long as usual."""
    self._doing, self._since, self._patience = doing, time.monotonic(), patience

  def _watch(self) -> None:
    while not self._stop.wait(self._left()):
      if self._left() > 0:
        continue
      doing, since = self._doing, self._since
      self._bark(doing, time.monotonic() - since)
      if self._end:
        os._exit(UNAVAILABLE)
      while self._since == since and not self._stop.wait(min(1.0, self._seconds)):
        pass  # one report for each stall
      if not self._stop.is_set():
        _tell(f'{doing} ended after {time.monotonic() - since:.0f} s; going on')

  def _left(self) -> float:
    """Seconds that what is being done may still take."""
    return max(0.0, self._since + self._seconds * self._patience - time.monotonic())

  def _bark(self, doing: str, seconds: float) -> None:
    where = f'process {self._process}: ' if self._process else ''
    faulthandler.dump_traceback(file=sys.__stderr__)
    try:
      self._folder.mkdir(parents=True, exist_ok=True)
      path = self._folder / f'{time.strftime("%Y%m%d-%H%M%S")}-{self._process}.txt'
      with path.open('w', encoding='utf-8') as file:
        file.write('\n'.join([f'{doing}: no progress for {seconds:.0f} s', *self._also(), '', '']))
        file.flush()
        faulthandler.dump_traceback(file=file)
      stacks = f'stacks of all threads above and in {path}'
    except OSError as error:  # a full disk may be why nothing moves
      stacks = f'stacks of all threads above ({error.strerror})'
    _tell(f'{where}{doing}: no progress for {seconds:.0f} s; {stacks}; ' + ('ending' if self._end else 'waiting on'))


def _tell(line: str) -> None:
  print(line, file=sys.__stderr__, flush=True)
