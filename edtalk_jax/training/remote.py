"""A run whose workdir is on object storage.

Each process works in a folder of its own machine, the stage, which begins empty at every start: the store alone says
what there is. `checkpoints/<step>/` there holds every process's chunks of the arrays; a checkpoint exists once its
manifest does, which process 0 writes last and deletes first. All other files of the stage are copied whole before each
manifest, so that no checkpoint outlives the metric lines of its steps.
"""

import fcntl
import json
import os
import pathlib
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from edtalk_jax import storage
from edtalk_jax.config import UserError
from edtalk_jax.training import checkpoint, cluster, events, integrity, metrics, record
from edtalk_jax.training.integrity import Damaged
from edtalk_jax.training.lease import Lease
from edtalk_jax.training.shelf import DAMAGED, FOLDER, Say, Shelf, Which

LISTS = 'files-'  # objects in which the other processes tell process 0 what they have written
CHUNK = re.compile(r'[\d.]+')  # Zarr's names of an array's chunks; all other files are the same on every process
STAGE, LOCK = 'run-', 'stage.lock'
UNFINISHED = ('.tmp', '.partial')  # files that are about to be renamed


class RemoteRun:
  """The run at `url`. Nothing is read or written before a method says so.

  Attributes:
    stage: the folder in which this process works.
  """

  def __init__(self, url: str, lease: Lease | None = None):
    self.url, self._store, self._lease = url, storage.Store(url), lease
    self.stage, self._lock = _new_stage()
    self._published: dict[str, tuple[int, int]] = {}
    self._publishing = threading.Lock()

  def close(self) -> None:
    """Removes the stage."""
    shutil.rmtree(self.stage, ignore_errors=True)
    os.close(self._lock)

  def resume_step(self, say: Say) -> int | None:
    """Brings the newest whole checkpoint and this process's logs to the stage; returns its step, None without any.

    What is left of killed saves is deleted and damaged checkpoints are moved aside, both with a line.

    Raises:
      UserError: if there are checkpoints, but none is whole.
    """
    step = checkpoint.from_first_process(lambda: self._recover(say))
    if step is not None and jax.process_index() != 0:
      self._fetch_whole(step)
    process = jax.process_index()
    names = [events.file_name(process)] + ([] if process else [metrics.FILE])
    self._store.get({name: self.stage / name for name in names})
    return step

  def fetch(self, which: Which, parts: Iterable[str] | None, say: Say) -> None:
    """Brings config.json, metrics.jsonl and the parts of the wanted checkpoint to the stage, to be read.

    Raises:
      UserError: if this is no run, or it has no such checkpoint.
    """
    self._store.get({name: self.stage / name for name in (record.FILE, metrics.FILE)})

    def find() -> int | None:
      for step in self._candidates(which):
        try:
          self._fetch(step, parts)
          return step
        except Damaged as damage:
          say(f'{self.where(step)} is damaged: {damage}')
      return None

    step = checkpoint.from_first_process(find)
    if step is None:
      if not (self.stage / record.FILE).exists():
        raise UserError(f'{self.url}: no run here (there is no {record.FILE}); train.py --workdir makes one')
      loss = ' with a validation loss' if which == 'best' else ''
      raise UserError(f'{self.url}: the run has no whole checkpoint{loss}')
    if jax.process_index() != 0:
      self._fetch_whole(step, parts)

  def commit(self, step: int, about: Mapping[str, Any], keep: int) -> None:
    """Turns what Orbax wrote into `<step>.part` of every stage into a checkpoint; called by all processes.

    Raises:
      UserError: if the store refuses, or another trainer has taken over.
    """
    part, process = Shelf(self.stage).part(step), jax.process_index()
    files = integrity.contents(part)
    if process:
      files = {name: entry for name, entry in files.items() if CHUNK.fullmatch(name.rpartition('/')[2])}
    self._store.put({f'{FOLDER}/{step}/{name}': part / name for name in files})
    for old in Shelf(self.stage).folder.iterdir():  # this part, and what the run began with
      shutil.rmtree(old)
    self.publish()
    if process:
      self._store.write(f'{FOLDER}/{step}/{LISTS}{process}.json', json.dumps(files).encode())
    cluster.barrier(f'copied {step}')
    if process == 0:
      if self._lease is not None:
        self._lease.check()
      self._seal(step, about, files)
      self._prune(keep)
    cluster.barrier(f'sealed {step}')  # nobody ends before there is a checkpoint

  def publish(self) -> None:
    """Copies the files that have changed since the last time, but for checkpoints, each as far as it is written."""
    with self._publishing:
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
    return f'{self.url}/{FOLDER}/{step}'

  def _recover(self, say: Say) -> int | None:
    for step, names in self._objects().items():
      if integrity.FILE not in names:
        say(f'{self.where(step)}: deleting what is left of a save or a deletion that was not finished')
        self._delete(step, names)
    for step in sorted(self._objects(), reverse=True):
      try:
        self._fetch(step)
        return step
      except Damaged as damage:
        aside = self._move_aside(step)
        say(f'{self.where(step)} is damaged: {damage}; moved to {aside}, an earlier checkpoint is used instead')
    damaged = sorted({name.split('/')[1] for name in self._store.sizes(f'{FOLDER}/') if DAMAGED in name.split('/')[1]})
    if damaged:
      raise UserError(f'{self.url}/{FOLDER}: no whole checkpoint is left, only {", ".join(damaged)}; to start from '
                      'scratch, choose another --workdir or delete them')  # fmt: skip
    return None

  def _objects(self) -> dict[int, dict[str, int]]:
    """Step -> name -> bytes of everything that lies under a step's number, oldest first."""
    found: dict[int, dict[str, int]] = {}
    for name, size in self._store.sizes(f'{FOLDER}/').items():
      step, _, rest = name.removeprefix(f'{FOLDER}/').partition('/')
      if step.isascii() and step.isdigit() and rest:
        found.setdefault(int(step), {})[rest] = size
    return dict(sorted(found.items()))

  def _whole(self) -> list[int]:
    """Steps of which there is a manifest, oldest first."""
    return [step for step, names in self._objects().items() if integrity.FILE in names]

  def _losses(self) -> dict[int, float]:
    """Validation loss of every checkpoint that has one and whose manifest can be read."""
    losses = {}
    for step in self._whole():
      try:
        loss = integrity.parse(self._manifest(step))['about']['validation_loss']
      except Damaged:
        continue
      if loss is not None:
        losses[step] = loss
    return losses

  def _candidates(self, which: Which) -> list[int]:
    if which == 'latest':
      return self._whole()[::-1]
    losses = self._losses()
    return sorted(losses, key=losses.__getitem__)

  def _manifest(self, step: int) -> bytes | None:
    return self._store.read(f'{FOLDER}/{step}/{integrity.FILE}')

  def _fetch(self, step: int, parts: Iterable[str] | None = None) -> None:
    """Brings a checkpoint, or parts of it, to the stage. Raises Damaged, and leaves nothing, if it is not whole."""
    folder, wanted, text = Shelf(self.stage).path(step), None if parts is None else {*parts}, self._manifest(step)
    names = [name for name in integrity.parse(text)['files']
             if wanted is None or '/' not in name or name.split('/')[0] in wanted]  # fmt: skip
    try:
      folder.mkdir(parents=True)
      (folder / integrity.FILE).write_bytes(text)
      self._store.get({f'{FOLDER}/{step}/{name}': folder / name for name in names})
      Shelf(self.stage).verify(step, parts)
    except Damaged:
      shutil.rmtree(folder)
      raise

  def _fetch_whole(self, step: int, parts: Iterable[str] | None = None) -> None:
    """`_fetch` of what process 0 has found whole. Raises UserError."""
    try:
      self._fetch(step, parts)
    except Damaged as damage:
      raise UserError(f'{self.where(step)}: process 0 has read it whole, but here {damage}') from None

  def _seal(self, step: int, about: Mapping[str, Any], files: dict[str, list]) -> None:
    """Writes the manifest of what all processes have written, which makes it a checkpoint."""
    lists = [f'{FOLDER}/{step}/{LISTS}{process}.json' for process in range(1, jax.process_count())]
    for name in lists:
      files = {**files, **json.loads(self._store.read(name) or b'{}')}
    text = integrity.manifest({**about, 'step': step}, files)
    self._store.write(f'{FOLDER}/{step}/{integrity.FILE}', text.encode())
    self._store.delete(lists)

  def _prune(self, keep: int) -> None:
    """Deletes all checkpoints but the newest `keep` and the best by validation loss."""
    whole = self._whole()
    if len(whole) <= keep:
      return
    losses, objects = self._losses(), self._objects()
    kept = {*whole[-keep:], *([min(losses, key=losses.__getitem__)] if losses else [])}
    for step in whole:
      if step not in kept:
        self._delete(step, objects[step])

  def _delete(self, step: int, names: Iterable[str]) -> None:
    self._store.delete([f'{FOLDER}/{step}/{integrity.FILE}'])
    self._store.delete([f'{FOLDER}/{step}/{name}' for name in names if name != integrity.FILE])

  def _move_aside(self, step: int) -> str:
    """Renames a damaged checkpoint, object by object, and returns its new name."""
    taken = {name.split('/')[1] for name in self._store.sizes(f'{FOLDER}/')}
    aside = next(name for n in range(1, len(taken) + 2)
                 if (name := f'{step}{DAMAGED}' + (f'-{n}' if n > 1 else '')) not in taken)  # fmt: skip
    names = self._objects()[step]
    self._store.copy({f'{FOLDER}/{step}/{name}': f'{FOLDER}/{aside}/{name}' for name in names})
    self._delete(step, names)
    return aside


def _new_stage() -> tuple[pathlib.Path, int]:
  """Makes a stage and the descriptor of its lock, which ends with the process; removes those without, left by kills."""
  cache = storage.cache()
  with (cache / 'stages.lock').open('w') as making:
    fcntl.flock(making, fcntl.LOCK_EX)
    for old in cache.glob(f'{STAGE}*'):
      with (old / LOCK).open('a') as lock:
        try:
          fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
          continue
        shutil.rmtree(old, ignore_errors=True)
    stage = pathlib.Path(tempfile.mkdtemp(prefix=STAGE, dir=cache))
    lock = os.open(stage / LOCK, os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
  return stage, lock
