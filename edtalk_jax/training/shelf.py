"""The checkpoints of a run as folders: which are there, which are whole, which may go.

`checkpoints/<step>` is whole when it appears: it is written as `<step>.part` and renamed once its manifest is on the
disk, and renamed to `<step>.old` before it is deleted. So a kill at any moment leaves checkpoints and leftovers, never
something between. What was damaged afterwards is found by its digests and becomes `<step>.damaged`.
"""

import errno
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterable
from typing import Any, Literal

from edtalk_jax.config import UserError
from edtalk_jax.training import integrity
from edtalk_jax.training.integrity import Damaged

FOLDER = 'checkpoints'
PART, OLD, DAMAGED = '.part', '.old', '.damaged'
Which = Literal['latest', 'best']
Say = Callable[[str], None]


class Shelf:
  """The checkpoint folders of the run in `workdir`. Nothing is kept in memory: the disk says what there is."""

  def __init__(self, workdir: pathlib.Path):
    self.folder = workdir / FOLDER

  def path(self, step: int) -> pathlib.Path:
    """Where the checkpoint of `step` is, or would be."""
    return self.folder / str(step)

  def steps(self) -> list[int]:
    """Steps of all checkpoints, oldest first, damaged ones included."""
    if not self.folder.is_dir():
      return []
    return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isascii() and path.name.isdigit())

  def about(self, step: int) -> dict[str, Any]:
    """What the checkpoint says of itself, see `Checkpoints.save`. Raises Damaged."""
    return _of(step, integrity.about(self.path(step)))

  def verify(self, step: int, parts: Iterable[str] | None = None) -> dict[str, Any]:
    """`about`, after every byte of the parts has been read and compared. Raises Damaged."""
    return _of(step, integrity.verify(self.path(step), parts))

  def find(self, which: Which, say: Say, parts: Iterable[str] | None = None) -> int | None:
    """The newest whole checkpoint, or the whole one of the lowest validation loss; None if there is none.

    Says which damaged ones were passed over, and touches nothing.
    """
    passed = []
    for step in self._candidates(which, passed.append):
      try:
        self.verify(step, parts)
      except Damaged as damage:
        if self.path(step).exists():  # not just deleted by a run that goes on meanwhile
          passed.append(f'{self.path(step)} is damaged: {damage}')
      else:
        for line in passed:
          say(f'{line}; using step {step}')
        return step
    for line in passed:
      say(line)
    return None

  def recover(self, say: Say) -> int | None:
    """Makes the shelf ready for a run to go on: returns the step of the newest whole checkpoint, None without any.

    Leftovers of a killed run are deleted, damaged checkpoints are moved aside, both with a line that says so.

    Raises:
      UserError: if there are checkpoints, but none is whole: starting from scratch is for the user to decide.
    """
    self._clear_leftovers(say)
    found = self.steps()
    for step in reversed(found):
      try:
        self.verify(step)
        return step
      except Damaged as damage:
        aside = self._move_aside(step)
        say(f'{self.path(step)} is damaged: {damage}; moved to {aside.name}, an earlier checkpoint is used instead')
    damaged = sorted(path.name for path in self.folder.glob(f'*{DAMAGED}*')) if self.folder.is_dir() else []
    if damaged:
      raise UserError(
        f'{self.folder}: no whole checkpoint is left, only {", ".join(damaged)}; to start from scratch, '
        'choose another --workdir or delete them'
      )
    return None

  def prepare(self, step: int, size: int) -> None:
    """Raises OSError if the checkpoint of `step`, of `size` bytes, cannot be written, before threads have begun."""
    self.part(step).mkdir(parents=True)
    self.part(step).rmdir()
    free = shutil.disk_usage(self.folder).free
    if free < size:
      raise OSError(f'{os.strerror(errno.ENOSPC)}: it needs {size / 1e6:.2f} MB, {free / 1e6:.2f} MB are free')

  def commit(self, step: int, about: dict[str, Any], keep: int) -> None:
    """Turns `<step>.part`, whose arrays are written, into a checkpoint, then deletes those that are not kept.

    Kept are the newest `keep` and the best by validation loss.
    """
    part = self.part(step)
    integrity.seal(part, {**about, 'step': step})
    part.rename(self.path(step))
    integrity.sync_folder(self.folder)
    kept = {*self.steps()[-keep:], *self._candidates('best', say=lambda line: None)[:1]}
    for old in self.steps():
      if old not in kept:
        _delete(self.path(old).rename(self.folder / f'{old}{OLD}'))

  def part(self, step: int) -> pathlib.Path:
    """Where the checkpoint of `step` is written."""
    return self.folder / f'{step}{PART}'

  def best(self) -> int | None:
    """The step of the lowest validation loss, whole or not; None if no checkpoint has one."""
    return next(iter(self._candidates('best', say=lambda line: None)), None)

  def _candidates(self, which: Which, say: Say) -> list[int]:
    """Steps in the order of preference; says which are out of the question."""
    steps = self.steps()[::-1]
    if which == 'latest':
      return steps
    losses = {}
    for step in steps:
      try:
        losses[step] = self.about(step)['validation_loss']
      except Damaged as damage:
        say(f'{self.path(step)} is damaged: {damage}')
    return sorted((step for step, loss in losses.items() if loss is not None), key=losses.__getitem__)

  def _clear_leftovers(self, say: Say) -> None:
    if not self.folder.is_dir():
      return
    for path in sorted(self.folder.iterdir()):
      if re.match(rf'\d+\{PART}', path.name):
        say(f'{path}: deleting a save that was not finished')
        _delete(path)
      elif re.fullmatch(rf'\d+\{OLD}', path.name):
        _delete(path)

  def _move_aside(self, step: int) -> pathlib.Path:
    number, aside = 1, self.folder / f'{step}{DAMAGED}'
    while aside.exists():
      number, aside = number + 1, self.folder / f'{step}{DAMAGED}-{number + 1}'
    return self.path(step).rename(aside)


def _of(step: int, about: dict[str, Any]) -> dict[str, Any]:
  if about['step'] != step:
    raise Damaged(f'it holds step {about["step"]}, not {step}')
  return about


def _delete(path: pathlib.Path) -> None:
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path)
  else:
    path.unlink()
