"""A run whose workdir is on object storage.

Each process works in a folder of its own machine, the stage, which begins empty at every start: the store alone says
what there is. Checkpoints go to the store as `remote_shelf` says; all other files of the stage are copied whole before
each becomes one, so that no checkpoint outlives the metric lines of its steps.
"""

import fcntl
import os
import pathlib
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from edtalk_jax import storage
from edtalk_jax.config import UserError
from edtalk_jax.training import checkpoint, cluster, events, metrics, record
from edtalk_jax.training.lease import Lease
from edtalk_jax.training.remote_shelf import RemoteShelf
from edtalk_jax.training.shelf import FOLDER, Say, Shelf, Which

STAGE, LOCK = 'run-', 'stage.lock'
UNFINISHED = ('.tmp', '.partial')  # files that are about to be renamed


class RemoteRun:
  """The run at `url`. Nothing is read or written before a method says so.

  Attributes:
    stage: the folder in which this process works.
  """

  def __init__(self, url: str, lease: Lease | None = None):
    """`lease` is the right to write there, which process 0 has."""
    self.url, self._store, self._lease = url, storage.Store(url), lease
    self.stage, self._lock = _new_stage()
    self._shelf = RemoteShelf(self._store, self.stage)
    self._published: dict[str, tuple[int, int]] = {}
    self._publishing = threading.Lock()

  def close(self) -> None:
    """Removes the stage."""
    shutil.rmtree(self.stage, ignore_errors=True)
    os.close(self._lock)

  def resume_step(self, say: Say) -> int | None:
    """Brings the newest whole checkpoint, the manifest of the best and this process's logs to the stage.

    Returns the step of the newest, None without any.

    Raises:
      UserError: if there are checkpoints, but none is whole.
    """
    step, process = checkpoint.from_first_process(lambda: self._shelf.recover(say)), jax.process_index()
    if step is not None and process:
      self._shelf.fetch_whole(step)
    best = checkpoint.from_first_process(self._shelf.best)
    if best is not None and best != step:
      self._shelf.fetch_manifest(best)  # `patience` compares with it
    self._get(events.file_name(process), *([] if process else [metrics.FILE]))
    return step

  def fetch(self, which: Which, parts: Iterable[str] | None, say: Say) -> None:
    """Brings config.json, metrics.jsonl and the parts of the wanted checkpoint to the stage, to be read.

    Raises:
      UserError: if this is no run, or it has no such checkpoint.
    """
    self._get(record.FILE, metrics.FILE)
    step = checkpoint.from_first_process(lambda: self._shelf.find(which, parts, say))
    if step is None:
      if not (self.stage / record.FILE).exists():
        raise UserError(f'{self.url}: no run here (there is no {record.FILE}); train.py --workdir makes one')
      loss = ' with a validation loss' if which == 'best' else ''
      raise UserError(f'{self.url}: the run has no whole checkpoint{loss}')
    if jax.process_index():
      self._shelf.fetch_whole(step, parts)

  def commit(self, step: int, about: Mapping[str, Any], keep: int) -> None:
    """Turns what Orbax wrote into `<step>.part` of every stage into a checkpoint; called by all processes.

    Raises:
      UserError: if the store refuses, or another trainer has taken over.
    """
    self._check()
    cluster.barrier(f'may copy {self.where(step)}')  # process 0 alone knows whether this is still the one trainer
    files = self._shelf.put(step)
    for old in Shelf(self.stage).folder.iterdir():  # this part, and what the run began with
      shutil.rmtree(old)
    self.publish()
    cluster.barrier(f'copied {self.where(step)}')
    if jax.process_index() == 0:
      self._check()
      self._shelf.seal(step, about, files)
      self._shelf.prune(keep)
    cluster.barrier(f'sealed {self.where(step)}')  # nobody ends before there is a checkpoint

  def publish(self) -> None:
    """Copies the files that have changed since the last time, but for checkpoints, each as far as it is written.

    Raises:
      UserError: as `commit` does.
    """
    with self._publishing:
      self._check()
      for path in sorted(path for path in self.stage.rglob('*') if path.is_file()):
        name = path.relative_to(self.stage).as_posix()
        if name.startswith(f'{FOLDER}/') or name == LOCK or path.suffix in UNFINISHED:
          continue
        state = path.stat().st_size, path.stat().st_mtime_ns
        if self._published.get(name) != state:
          self._store.write(name, path.read_bytes())
          self._published[name] = state

  def where(self, step: int) -> str:
    """The URL of a checkpoint."""
    return self._shelf.where(step)

  def _check(self) -> None:
    """Raises UserError if another trainer has taken over, whose files these would replace."""
    if self._lease is not None:
      self._lease.check()

  def _get(self, *names: str) -> None:
    self._store.get({name: self.stage / name for name in names})


def _new_stage() -> tuple[pathlib.Path, int]:
  """Makes a stage and the descriptor of its lock, which ends with the process; removes those without, left by kills."""
  cache = storage.cache()
  with (cache / 'stages.lock').open('w') as making:
    fcntl.flock(making, fcntl.LOCK_EX)
    for old in cache.glob(f'{STAGE}*'):
      try:
        with (old / LOCK).open('a') as lock:
          fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
          shutil.rmtree(old, ignore_errors=True)
      except OSError:  # at work, or gone just now
        continue
    stage = pathlib.Path(tempfile.mkdtemp(prefix=STAGE, dir=cache))
    lock = os.open(stage / LOCK, os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
  return stage, lock
