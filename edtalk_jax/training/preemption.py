"""Being asked to stop: SIGTERM of a scheduler, Ctrl-C of a user."""

import itertools
import os
import signal
import threading
from types import FrameType

import jax
from jax.experimental import multihost_utils

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# JAX looks for the first number that no process has asked about yet, and misses it where numbers begin high. So calls
# are counted, not steps: after a resumption, and in the next stage, they still go up one by one.
_calls = itertools.count(1)


class Preemption:
  """Notices that the run is asked to save and stop. Use as a context manager.

  It listens from the first call of `reached` on: before the first step there is nothing to save, and a signal ends the
  process at once, as it would without us. Later signals change nothing, so that an impatient scheduler or user does not
  cut the save short; SIGKILL remains, and checkpoints survive that.

  One of several processes is enough: JAX carries its SIGTERM to all and finds the next step that none has begun.
  """

  def __init__(self):
    """Touches no signal yet."""
    self._asked = False
    self._before: dict[int, object] = {}

  def __enter__(self) -> 'Preemption':
    return self

  def __exit__(self, *exception) -> None:
    for number, handler in self._before.items():  # once asked, the exit code is to tell, not a second signal
      signal.signal(number, signal.SIG_IGN if self._asked else handler)

  def reached(self) -> bool:
    """Whether to save and stop after this step. All processes call it after every step, and all get the same answer."""
    if not self._before and threading.current_thread() is threading.main_thread():  # others may not handle signals
      self._listen()
    call = next(_calls)
    if jax.process_count() > 1:
      return multihost_utils.reached_preemption_sync_point(call)
    return self._asked

  def _listen(self) -> None:
    # jax.distributed listens to SIGTERM itself, with a handler that Python does not see.
    numbers = SIGNALS if jax.process_count() == 1 else (signal.SIGINT,)
    self._before = {number: signal.signal(number, self._ask) for number in numbers}

  def _ask(self, number: int, frame: FrameType | None) -> None:
    # os.write, as a handler may interrupt a print that holds its buffer's lock.
    name = signal.Signals(number).name
    if self._asked:
      os.write(2, f'{name} again: still stopping; saving must not be cut short\n'.encode())
      return
    self._asked = True
    os.write(2, f'{name}: saving after this step, then stopping\n'.encode())
    if jax.process_count() > 1:
      signal.raise_signal(signal.SIGTERM)
