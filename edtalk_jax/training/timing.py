"""Where the time of a run goes: waiting for data or the device, pauses, the rest; and what the device did meanwhile."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax

Kind = Literal['data_wait', 'device_wait', 'pause']
_GIB = 2**30


class Timing:
  """Splits the loop's wall time and measures the device's. Use as a context manager around the loop.

  A step is dispatched and runs while the loop goes on. So a thread waits for every step and notes when it was done: the
  device worked on it since it was dispatched or, if that is later, since the step before it was done. That is all that
  can be known without a profiler, and an upper bound: dispatching and an input that still travels are in it.
  """

  def __init__(
    self,
    step: int,
    batch_size: int,
    *,
    began: float,
    productive: float,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Starts the clocks.

    Args:
      step: number of the last step that was made before.
      batch_size: examples of a step.
      began: when the run was first started, in seconds since 1970.
      productive: the device's seconds on all steps before, those of earlier starts included.
      clock: seconds that never go back.
    """
    self._batch_size, self._began, self._productive, self._clock = batch_size, began, productive, clock
    self._at_peak: float | None = None
    self._finished = threading.Condition()
    self._device, self._done = 0.0, step
    self._steps: queue.Queue[tuple[int, float, Any] | None] = queue.Queue()
    self._thread = threading.Thread(target=self._watch, name='timing', daemon=True)
    self._restart(step)

  def __enter__(self) -> 'Timing':
    self._thread.start()
    return self

  def __exit__(self, *exception) -> None:
    self._steps.put(None)
    self._thread.join()

  @contextlib.contextmanager
  def during(self, kind: Kind) -> Iterator[None]:
    """Counts the time spent in the context as `kind`: waiting for a batch, for the device, or no step at all."""
    start = self._clock()
    try:
      yield
    finally:
      self._spent[kind] += self._clock() - start

  def dispatched(self, number: int, at: float, metrics: Any) -> None:
    """Takes the outputs of step `number`, which was dispatched at `at` of the clock."""
    self._steps.put((number, at, metrics))

  def first_step(self, number: int, examples_at_peak: float | None) -> None:
    """Leaves out what came up to the end of step `number`, the first of this start: compilation, most of it.

    Args:
      number: of the step, which is done.
      examples_at_peak: examples per second at the peak FLOP/s of all devices; None where that is not known.
    """
    self._wait(number)
    self._take_device()
    self._restart(number)
    self._at_peak = examples_at_peak

  def read(self, number: int) -> dict[str, float]:
    """Returns means over the steps since the last reading up to `number`, which is done; see docs/training.md."""
    self._wait(number)
    wall, steps = self._clock() - self._since, number - self._step
    if not steps:
      return {'examples_per_second': 0.0}
    rate, device = steps * self._batch_size / max(wall, 1e-9), self._take_device()
    self._productive += device
    split = {**self._spent, 'host': wall - sum(self._spent.values()), 'device': device}
    self._restart(number)
    return {
      'examples_per_second': rate,
      **({} if self._at_peak is None else {'mfu': rate / self._at_peak}),
      'goodput': self._productive / max(time.time() - self._began, self._productive),
      **_memory(),
      **{f'time/{name}': seconds / steps for name, seconds in split.items()},
      'time/productive': self._productive,
    }

  def _restart(self, step: int) -> None:
    self._step, self._since = step, self._clock()
    self._spent: dict[Kind, float] = dict.fromkeys(('data_wait', 'device_wait', 'pause'), 0.0)

  def _take_device(self) -> float:
    with self._finished:
      seconds, self._device = self._device, 0.0
    return seconds

  def _wait(self, number: int) -> None:
    """Waits until the thread, too, has seen that step `number` is done."""
    with self._finished:
      self._finished.wait_for(lambda: self._done >= number)

  def _watch(self) -> None:
    last = 0.0
    while (step := self._steps.get()) is not None:
      number, at, metrics = step
      with contextlib.suppress(jax.errors.JaxRuntimeError):  # the loop meets it as well
        jax.block_until_ready(metrics)
      now = self._clock()
      with self._finished:
        self._device += now - max(last, at)
        self._done = number
        self._finished.notify_all()
      last = now


def _memory() -> dict[str, float]:
  """The largest memory in use so far on any device of this process, where the backend says."""
  stats = [device.memory_stats() or {} for device in jax.local_devices()]
  peaks = [found['peak_bytes_in_use'] for found in stats if 'peak_bytes_in_use' in found]
  return {'memory/peak_gib': max(peaks) / _GIB} if peaks else {}
