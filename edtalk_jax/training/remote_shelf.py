"""The checkpoints of a run on object storage: what `shelf` is for those in a folder.

`checkpoints/<step>/` there holds every process's chunks of the arrays. They are a checkpoint once there is a manifest,
which process 0 writes last and deletes first; nothing is renamed. What a kill leaves has no manifest.
"""

import json
import pathlib
import re
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from edtalk_jax.config import UserError
from edtalk_jax.storage import Store
from edtalk_jax.training import integrity
from edtalk_jax.training.integrity import Damaged
from edtalk_jax.training.shelf import DAMAGED, FOLDER, Say, Shelf, Which

CHUNK = re.compile(r'[\d.]+')  # Zarr's names of an array's chunks; all other files are the same on every process


class RemoteShelf:
  """The checkpoints in `store`, and copies in `stage`, a folder of this process. The store says what there is."""

  def __init__(self, store: Store, stage: pathlib.Path):
    self._store, self._here = store, Shelf(stage)

  def where(self, step: int) -> str:
    """The URL of a checkpoint."""
    return f'{self._store.url}/{FOLDER}/{step}'

  def find(self, which: Which, parts: Iterable[str] | None, say: Say) -> int | None:
    """Fetches the wanted checkpoint, passing over damaged ones with a line; returns its step, None without any."""
    for step in self._candidates(which):
      try:
        self._fetch(step, parts)
        return step
      except Damaged as damage:
        say(f'{self.where(step)} is damaged: {damage}')
    return None

  def recover(self, say: Say) -> int | None:
    """Fetches the newest whole checkpoint, for a run to go on; returns its step, None without any.

    What is left of killed saves is deleted and damaged checkpoints are moved aside, both with a line.

    Raises:
      UserError: if there are checkpoints, but none is whole: starting from scratch is for the user to decide.
    """
    for step, names in self._objects().items():
      if integrity.FILE not in names:
        say(f'{self.where(step)}: deleting what is left of a save or a deletion that was not finished')
        self._delete(step, names)
    for step in self._whole()[::-1]:
      try:
        self._fetch(step)
        return step
      except Damaged as damage:
        aside = self._move_aside(step)
        say(f'{self.where(step)} is damaged: {damage}; moved to {aside}, an earlier checkpoint is used instead')
    if damaged := sorted(name for name in self._folders() if DAMAGED in name):
      raise UserError(
        f'{self._store.url}/{FOLDER}: no whole checkpoint is left, only {", ".join(damaged)}; to start '
        'from scratch, choose another --workdir or delete them'
      )
    return None

  def fetch_whole(self, step: int, parts: Iterable[str] | None = None) -> None:
    """Fetches what process 0 has found whole. Raises UserError if it is not, here."""
    try:
      self._fetch(step, parts)
    except Damaged as damage:
      raise UserError(f'{self.where(step)}: process 0 has read it whole, but here {damage}') from None

  def best(self) -> int | None:
    """The step of the lowest validation loss; None if no checkpoint has one."""
    return next(iter(self._candidates('best')), None)

  def fetch_manifest(self, step: int) -> None:
    """Brings the manifest of a checkpoint to the stage, which says what it was worth."""
    self._store.get({f'{FOLDER}/{step}/{integrity.FILE}': self._here.path(step) / integrity.FILE})

  def put(self, step: int) -> dict[str, list]:
    """Copies this process's share of what lies in `<step>.part`; returns it as `integrity.contents` does."""
    part, process = self._here.part(step), jax.process_index()
    files = integrity.contents(part)
    if process:
      files = {name: entry for name, entry in files.items() if CHUNK.fullmatch(name.rpartition('/')[2])}
    self._store.put({f'{FOLDER}/{step}/{name}': part / name for name in files})
    if process:
      self._store.write(self._list(step, process), json.dumps(files).encode())
    return files

  def seal(self, step: int, about: Mapping[str, Any], files: Mapping[str, list]) -> None:
    """Makes what all processes have `put`, process 0 `files`, a checkpoint. Raises UserError if a list is not there."""
    lists = [self._list(step, process) for process in range(1, jax.process_count())]
    for name in lists:
      if (listed := self._store.read(name)) is None:
        raise UserError(f'{self._store.url}/{name}: written by its process, but not there')
      files = {**files, **json.loads(listed)}
    text = integrity.manifest({**about, 'step': step}, files)
    self._store.write(f'{FOLDER}/{step}/{integrity.FILE}', text.encode())
    self._store.delete(lists)

  def prune(self, keep: int) -> None:
    """Deletes all checkpoints but the newest `keep` and the best by validation loss."""
    whole = self._whole()
    if len(whole) <= keep:
      return
    kept, objects = {*whole[-keep:], *self._candidates('best')[:1]}, self._objects()
    for step in whole:
      if step not in kept:
        self._delete(step, objects[step])

  def _fetch(self, step: int, parts: Iterable[str] | None = None) -> None:
    """Brings a checkpoint, or parts of it, to the stage. Raises Damaged, and leaves nothing, if it is not whole."""
    folder, wanted, text = self._here.path(step), None if parts is None else {*parts}, self._manifest(step)
    names = [
      name
      for name in integrity.parse(text)['files']
      if wanted is None or '/' not in name or name.split('/')[0] in wanted
    ]
    try:
      folder.mkdir(parents=True)
      (folder / integrity.FILE).write_bytes(text)
      self._store.get({f'{FOLDER}/{step}/{name}': folder / name for name in names})
      self._here.verify(step, parts)
    except Damaged:
      shutil.rmtree(folder)
      raise

  def _candidates(self, which: Which) -> list[int]:
    """Steps in the order of preference; for the best, only those whose manifest can be read."""
    whole = self._whole()[::-1]
    if which == 'latest':
      return whole
    losses = {}
    for step in whole:
      try:
        losses[step] = integrity.parse(self._manifest(step))['about']['validation_loss']
      except Damaged:
        continue
    return sorted((step for step, loss in losses.items() if loss is not None), key=losses.__getitem__)

  def _whole(self) -> list[int]:
    """Steps of which there is a manifest, oldest first."""
    return [step for step, names in self._objects().items() if integrity.FILE in names]

  def _objects(self) -> dict[int, list[str]]:
    """Step -> names of everything that lies under it, oldest first."""
    found = self._folders()
    return {step: found[str(step)] for step in sorted(int(name) for name in found if name.isascii() and name.isdigit())}

  def _folders(self) -> dict[str, list[str]]:
    """What lies in checkpoints/: a step, or `<step>.damaged` -> names under it."""
    found: dict[str, list[str]] = {}
    for path in self._store.sizes(f'{FOLDER}/'):
      folder, _, name = path.removeprefix(f'{FOLDER}/').partition('/')
      if name:
        found.setdefault(folder, []).append(name)
    return found

  def _list(self, step: int, process: int) -> str:
    """The object in which a process tells process 0 what it has put."""
    return f'{FOLDER}/{step}/files-{process}.json'

  def _manifest(self, step: int) -> bytes | None:
    return self._store.read(f'{FOLDER}/{step}/{integrity.FILE}')

  def _delete(self, step: int, names: Iterable[str]) -> None:
    self._store.delete([f'{FOLDER}/{step}/{integrity.FILE}'])
    self._store.delete([f'{FOLDER}/{step}/{name}' for name in names if name != integrity.FILE])

  def _move_aside(self, step: int) -> str:
    """Renames a damaged checkpoint, object by object, and returns its new name."""
    folders = self._folders()
    numbered = (f'{step}{DAMAGED}' + (f'-{n}' if n > 1 else '') for n in range(1, len(folders) + 2))
    aside, names = next(name for name in numbered if name not in folders), folders[str(step)]
    self._store.copy({f'{FOLDER}/{step}/{name}': f'{FOLDER}/{aside}/{name}' for name in names})
    self._delete(step, names)
    return aside
