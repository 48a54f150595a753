"""What a run writes down: metrics.jsonl, TensorBoard events and the progress line."""

import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

FILE = 'metrics.jsonl'
# How the names begin that are no losses and differ between runs that are otherwise equal.
TIMING = ('examples_per_second', 'mfu', 'goodput', 'memory/', 'time/')
PROGRESS = ('loss', 'discriminator_loss')  # first on the progress line
SUMMARISED = ('discriminator_',)  # parts of what is already there; they are in the files


class MetricLog:
  """Writes one line a log step to `metrics.jsonl` and TensorBoard. Use as a context manager.

  A line is a JSON object: 'step' (updates made), 'example' (position of the batch's first example),
  what `Timing.read` gives, every loss term and gradient norm by name; the lines of a validation hold 'step' and names
  that begin with 'validation/'.
  """

  def __init__(self, workdir: pathlib.Path, start_step: int, enabled: bool, say: Callable[[str], None] = print):
    """Prepares the log. Only one process of a run is `enabled`; the others write nothing."""
    self._workdir, self._start_step, self._enabled, self._say = workdir, start_step, enabled, say

  def __enter__(self) -> 'MetricLog':
    """Opens the files; lines of steps after `start_step`, which will be made again, are dropped."""
    if self._enabled:
      from tensorboardX import SummaryWriter

      path = self._workdir / FILE
      if damaged := truncate(path, self._start_step):
        self._say(f'{path}: dropped {damaged} damaged line(s) before step {self._start_step}')
      self._file = path.open('a', encoding='utf-8')
      self._events = SummaryWriter(str(self._workdir / 'tensorboard'), purge_step=self._start_step + 1)
    return self

  def __exit__(self, *exception) -> None:
    if self._enabled:
      self._file.close()
      self._events.close()

  def write(self, step: int, values: Mapping[str, float], **facts: int) -> None:
    """Appends one line of `facts` and `values`, and flushes it; TensorBoard gets the values."""
    if not self._enabled:
      return
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}  # JSON has no NaN
    self._file.write(json.dumps({'step': step, **facts, **finite}) + '\n')
    self._file.flush()
    for name, value in values.items():
      self._events.add_scalar(name, value, step)

  def last(self, name: str) -> float:
    """The newest value of `name` in the file as it was opened; 0 if there is none, or this process writes nothing."""
    found = [line[name] for line in read_lines(self._workdir / FILE) if name in line] if self._enabled else []
    return found[-1] if found else 0.0

  def sync(self) -> None:
    """Waits until all lines are on the disk: a checkpoint must not outlive the lines of its steps."""
    if self._enabled:
      os.fsync(self._file.fileno())


def read_lines(path: pathlib.Path) -> list[dict[str, Any] | None]:
  """The lines of a metrics.jsonl, oldest first; None for one that a kill cut short or that was damaged."""
  return [_parse(line) for line in path.read_bytes().splitlines()]


def untimed(line: Mapping[str, Any]) -> dict[str, Any]:
  """A line without what differs between runs that are otherwise equal."""
  return {name: value for name, value in line.items() if not name.startswith(TIMING)}


def _parse(line: bytes) -> dict[str, Any] | None:
  try:
    values = json.loads(line)
  except (ValueError, RecursionError):  # JSONDecodeError and UnicodeDecodeError included
    return None
  return values if isinstance(values, dict) and isinstance(values.get('step'), int) else None


def truncate(path: pathlib.Path, last_step: int) -> int:
  """Drops lines after `last_step` and damaged ones; returns how many of these came before the last one kept."""
  if not path.exists():
    return 0
  lines = read_lines(path)
  kept = [number for number, values in enumerate(lines) if values is not None and values['step'] <= last_step]
  temporary = path.with_suffix('.tmp')
  with temporary.open('w', encoding='utf-8') as file:
    file.writelines(json.dumps(lines[number]) + '\n' for number in kept)
    file.flush()
    os.fsync(file.fileno())
  temporary.replace(path)
  return lines[: max(kept, default=-1) + 1].count(None)


def progress_line(step: int, steps: int, rate: float, batch_size: int, values: Mapping[str, float]) -> str:
  """The line that a run prints at every log step."""
  left = (steps - step) * batch_size / rate if rate > 0 else math.inf
  terms = (name for name in values if '/' not in name and not name.startswith(SUMMARISED))
  shown = [*(name for name in PROGRESS if name in values), *terms]
  losses = '  '.join(f'{name} {values[name]:.4g}' for name in dict.fromkeys(shown))
  return f'step {step}/{steps}  {rate:.1f} examples/s  ETA {duration(left)}  {losses}'


def duration(seconds: float) -> str:
  """Seconds as 1d02h, 3h04m, 5m06s or 7s."""
  if not math.isfinite(seconds):
    return '?'
  minutes, second = divmod(round(seconds), 60)
  hours, minute = divmod(minutes, 60)
  days, hour = divmod(hours, 24)
  if days:
    return f'{days}d{hour:02}h'
  if hours:
    return f'{hours}h{minute:02}m'
  return f'{minutes}m{second:02}s' if minutes else f'{second}s'
