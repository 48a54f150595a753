"""What a run writes down: metrics.jsonl, TensorBoard events and the progress line."""

import json
import os
import pathlib
import time
from collections.abc import Mapping

import numpy as np

PROGRESS = ('loss', 'discriminator_loss')  # first on the progress line


class MetricLog:
  """Writes one line a log step to `metrics.jsonl` and TensorBoard, from process 0 only.

  A line is a JSON object: 'step' (updates made), 'seconds' (of this process, since it started), 'examples_per_second',
  and every loss term and norm by name; validation lines hold 'step' and names that begin with 'validation/'.
  """

  def __init__(self, workdir: pathlib.Path, start_step: int):
    """Opens the log; lines of steps after `start_step`, which will be made again, are dropped."""
    from tensorboardX import SummaryWriter

    self._path = workdir / 'metrics.jsonl'
    _truncate(self._path, start_step)
    self._file = self._path.open('a', encoding='utf-8')
    self._events = SummaryWriter(str(workdir / 'tensorboard'), purge_step=start_step + 1)
    self._start = time.monotonic()

  def write(self, step: int, values: Mapping[str, float], timing: Mapping[str, float] | None = None) -> None:
    """Appends one line and flushes it."""
    line = {'step': step, **(timing or {}), **values}
    self._file.write(json.dumps(line) + '\n')
    self._file.flush()
    for name, value in line.items():
      if name != 'step':
        self._events.add_scalar(name, value, step)

  def close(self) -> None:
    """Flushes everything to disk."""
    self._file.flush()
    os.fsync(self._file.fileno())
    self._file.close()
    self._events.close()


def _truncate(path: pathlib.Path, last_step: int) -> None:
  """Drops lines after `last_step`, and a last line that a kill cut short."""
  if not path.exists():
    return
  kept = []
  for line in path.read_text(encoding='utf-8').splitlines():
    try:
      if json.loads(line)['step'] <= last_step:
        kept.append(line)
    except (json.JSONDecodeError, KeyError):
      continue
  temporary = path.with_suffix('.tmp')
  temporary.write_text(''.join(line + '\n' for line in kept), encoding='utf-8')
  temporary.replace(path)


class Clock:
  """Examples per second since the last reading, and the time that the remaining steps will take."""

  def __init__(self, batch_size: int, step: int):
    self._batch_size, self._step, self._time = batch_size, step, time.monotonic()

  def read(self, step: int) -> float:
    """Returns examples per second since the last reading."""
    now = time.monotonic()
    rate = (step - self._step) * self._batch_size / max(now - self._time, 1e-9)
    self._step, self._time = step, now
    return rate


def progress_line(step: int, steps: int, rate: float, batch_size: int, values: Mapping[str, float]) -> str:
  """The line that a run prints at every log step."""
  left = (steps - step) * batch_size / rate if rate > 0 else float('inf')
  shown = [name for name in PROGRESS if name in values]
  shown += [n for n in values if n not in shown and '/' not in n and n not in ('discriminator_real', 'discriminator_fake')]
  losses = '  '.join(f'{name} {values[name]:.4g}' for name in shown)
  return f'step {step}/{steps}  {rate:.1f} examples/s  ETA {duration(left)}  {losses}'


def duration(seconds: float) -> str:
  """Seconds as 1d02h, 3h04m, 5m06s or 7s."""
  if not np.isfinite(seconds):
    return '?'
  minutes, second = divmod(round(seconds), 60)
  hours, minute = divmod(minutes, 60)
  days, hour = divmod(hours, 24)
  if days:
    return f'{days}d{hour:02}h'
  if hours:
    return f'{hours}h{minute:02}m'
  return f'{minutes}m{second:02}s' if minutes else f'{second}s'
