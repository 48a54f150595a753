"""What a run did that it should not have had to do: events.jsonl and dumped batches.

Lines are objects with 'step', 'event' and what belongs to it; docs/reliability.md lists them.
"""

import collections
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from edtalk_jax.training import metrics

DUMPS = 'dumps'


def file_name(process: int) -> str:
  """The file of one of several processes."""
  return f'events-{process}.jsonl' if process else 'events.jsonl'


class EventLog:
  """Appends to events.jsonl. Use as a context manager.

  Each process writes its own file, since each has read its own share of the batch: events.jsonl is process 0's,
  events-1.jsonl that of process 1.

  Attributes:
    path: the file.
    counts: lines of each kind, those of earlier starts of the run included.
  """

  def __init__(self, workdir: pathlib.Path, start_step: int, process: int = 0):
    """Prepares the log; lines of steps after `start_step`, which will be made again, are dropped."""
    self.path = workdir / file_name(process)
    self._start_step = start_step
    self.counts: collections.Counter[str] = collections.Counter()

  def __enter__(self) -> 'EventLog':
    metrics.truncate(self.path, self._start_step)
    if self.path.exists():
      self.counts.update(line.get('event', '') for line in metrics.read_lines(self.path) if line)
    return self

  def __exit__(self, *exception) -> None:
    """Nothing is open between two lines: events are rare."""

  def write(self, step: int, event: str, **facts: Any) -> None:
    """Appends one line, which is on the disk when this returns."""
    self.path.parent.mkdir(parents=True, exist_ok=True)
    with self.path.open('a', encoding='utf-8') as file:
      file.write(json.dumps({'step': step, 'event': event, **facts}, ensure_ascii=False) + '\n')
      file.flush()
      os.fsync(file.fileno())
    self.counts[event] += 1


def dump_batch(workdir: pathlib.Path, step: int, batch: Mapping[str, np.ndarray], process: int = 0) -> pathlib.Path:
  """Writes the batch of a step to `dumps/`, whole or not at all, and returns the file: an npz of its fields."""
  path = workdir / DUMPS / (f'{step:07d}-{process}.npz' if process else f'{step:07d}.npz')
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_suffix('.partial')
  with temporary.open('wb') as file:
    np.savez(file, step=step, **batch)
  temporary.replace(path)
  return path


def pictures_of(batch: Mapping[str, np.ndarray]) -> list[str]:
  """The distinct pictures that a batch was made of, as 'field=clip:frame', in order; [] if it does not say."""
  return list(dict.fromkeys(str(name) for name in np.ravel(batch.get('origin', ()))))
