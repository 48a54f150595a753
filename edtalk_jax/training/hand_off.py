"""Reading the checkpoint of another run: for inference, and as the start of a later stage."""

import atexit
import dataclasses
import pathlib
import re
import sys
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from edtalk_jax import stages, storage
from edtalk_jax.config import Config, UserError
from edtalk_jax.stages import population
from edtalk_jax.training import checkpoint, integrity, record, trees
from edtalk_jax.training.remote import RemoteRun
from edtalk_jax.training.shelf import FOLDER, Say, Shelf, Which

FOR_INFERENCE = ('model', checkpoint.EMA)


@dataclasses.dataclass(frozen=True)
class Opened:
  """A whole checkpoint of a run that is only read.

  Attributes:
    workdir: of the run, as the user named it.
    step: updates made.
    path: the checkpoint.
    config: the run's, as the checkpoint has it.
    arrays: what it holds, see `checkpoint.describe`.
    fingerprint: of all its bytes; hexadecimal, 64 digits.
  """

  workdir: str
  step: int
  path: pathlib.Path
  config: Config
  arrays: dict[str, str]
  fingerprint: str


@dataclasses.dataclass(frozen=True)
class Restored:
  """The parameters of a run, for inference.

  Attributes:
    config: the run's, with the model that its stage trains.
    params: of `EDTalk(config.model)`.
    step: updates made.
    path: the checkpoint.
    averaged: whether they are the run's average (`optimizer.ema`).
  """

  config: Config
  params: dict[str, Any]
  step: int
  path: pathlib.Path
  averaged: bool


def _warn(line: str) -> None:
  print(f'warning: {line}', file=sys.stderr)


def open_run(
  workdir: str, which: Which = 'latest', parts: tuple[str, ...] = checkpoint.NETWORKS, say: Say = _warn
) -> Opened:
  """Finds the wanted checkpoint of a run, passing over damaged ones with a line that names them.

  Args:
    workdir: of the run; a URL of object storage is copied to this machine until the process ends.
    which: the newest, or the one of the lowest validation loss.
    parts: that will be read, and are therefore verified.
    say: where that line goes.

  Raises:
    UserError: if the folder is no run or holds no such checkpoint.
  """
  folder = fetched(workdir, which, parts, say)
  if not (folder / FOLDER).is_dir():
    record.read(folder)  # says whether it is a run at all
    raise UserError(f'{workdir}: the run has no checkpoint yet')
  shelf = Shelf(folder)
  step = checkpoint.from_first_process(lambda: shelf.find(which, say, parts))
  if step is None:
    if which == 'best' and shelf.steps():
      raise UserError(f'{workdir}: the run has no whole checkpoint with a validation loss; use the latest')
    raise UserError(f'{workdir}: the run has no {"whole " if shelf.steps() else ""}checkpoint')
  about = shelf.about(step)
  config = record.config_of(about['run'], str(shelf.path(step)))
  return Opened(
    workdir=workdir,
    step=step,
    path=shelf.path(step),
    config=config,
    arrays=about['arrays'],
    fingerprint=integrity.fingerprint(shelf.path(step)),
  )


def fetched(
  workdir: str, which: Which = 'latest', parts: tuple[str, ...] = checkpoint.NETWORKS, say: Say = _warn
) -> pathlib.Path:
  """Returns the folder of a run; of one on object storage, a copy of what `open_run` and reports read."""
  if not storage.is_remote(workdir):
    return pathlib.Path(storage.local(workdir))
  remote = RemoteRun(workdir)
  atexit.register(remote.close)
  remote.fetch(which, parts, say)
  return remote.stage


def read_run(workdir: str, which: Which = 'latest', *, raw: bool = False) -> Restored:
  """Reads the generator side's parameters of a run, onto the first device.

  Args:
    workdir: of the run.
    which: the newest checkpoint, or the one of the lowest validation loss.
    raw: take the parameters themselves even if the run keeps an average of them.

  Raises:
    UserError: if the folder is no run or holds no whole checkpoint.
  """
  return read_opened(open_run(workdir, which, parts=FOR_INFERENCE), raw=raw)


def read_opened(opened: Opened, *, raw: bool = False) -> Restored:
  """`read_run` of a checkpoint that has been found."""
  averaged = not raw and any(path.startswith(f'{checkpoint.EMA}/') for path in opened.arrays)
  params = read_part(opened, checkpoint.EMA if averaged else 'model')
  params.pop(population.NAME, None)  # of no use outside training
  config = dataclasses.replace(opened.config, model=stages.model_config(opened.config))
  return Restored(config=config, params=params, step=opened.step, path=opened.path, averaged=averaged)


def read_part(opened: Opened, part: str) -> dict[str, Any]:
  """Reads one part of a checkpoint, one of `checkpoint.PARTS`, onto the first device; {} if it has none."""
  sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  wanted = {path: _struct(text, sharding) for path, text in opened.arrays.items() if path.startswith(f'{part}/')}
  return checkpoint.read_parts(opened.path, trees.unflatten(wanted))[part] if wanted else {}


@dataclasses.dataclass(frozen=True)
class HandOff:
  """What a stage took over from the run of an earlier one, by parameter path."""

  source: str
  step: int
  restored: tuple[str, ...]
  new: tuple[str, ...]
  unused: tuple[str, ...]

  def summary(self) -> str:
    """One line for the log."""

    def groups(paths):
      return ', '.join(sorted({'/'.join(path.split('/')[:4]).rsplit('/kernel')[0] for path in paths})[:6]) or 'none'

    return (
      f'from {self.source} at step {self.step}: {len(self.restored)} arrays restored, '
      f'{len(self.new)} new ({groups(self.new)}), {len(self.unused)} unused ({groups(self.unused)})'
    )


def hand_off(params: dict[str, Any], source: Opened) -> tuple[dict[str, Any], HandOff]:
  """Replaces the arrays of fresh `params` = {'model', 'discriminator'} that another run has under the same path.

  The parameters themselves are taken, not the average that the run may keep of them: the discriminator that comes along
  was trained against these. Each is read straight into the sharding of the array that it replaces. Optimiser moments
  start anew, as the two stages train different parameters.

  Raises:
    UserError: if an array of equal path has another shape (another model size).
  """
  fresh = trees.flatten(params)
  there = {path: text for path, text in source.arrays.items() if path.startswith(tuple(f'{name}/' for name in params))}
  common = [path for path in fresh if path in there]
  here = checkpoint.describe({path: fresh[path] for path in common})
  if wrong := checkpoint.differences({path: there[path] for path in common}, here):
    raise UserError(
      f'--from {source.workdir}: its model has other sizes: {wrong[0]} ({len(wrong)} arrays differ); '
      'compare the two config.json'
    )
  wanted = {
    path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
    for path, leaf in fresh.items()
    if path in there
  }
  found = trees.flatten(checkpoint.read_parts(source.path, trees.unflatten(wanted)))
  report = HandOff(
    source=source.workdir,
    step=source.step,
    restored=tuple(common),
    new=tuple(path for path in fresh if path not in there),
    unused=tuple(path for path in there if path not in fresh),
  )
  return trees.unflatten({**fresh, **found}), report


def read_frozen(params: dict[str, Any], runs: Mapping[str, str]) -> dict[str, Any]:
  """Replaces frozen parameters that other runs have trained: `runs` maps their name to a workdir, see `Stage.reads`.

  Raises:
    UserError: if a run has no such parameters, or of other sizes.
  """
  read = {}
  for name, workdir in runs.items():
    restored = read_run(workdir)
    if name not in restored.params:
      raise UserError(f'{workdir}: a run of stage {restored.config.run.stage}, which has no {name}')
    there, here = (checkpoint.describe(trees.flatten({name: tree[name]})) for tree in (restored.params, params))
    if wrong := checkpoint.differences(there, here):
      raise UserError(f'{workdir}: its {name} has other sizes: {wrong[0]} ({len(wrong)} arrays differ)')
    read[name] = jax.device_get(restored.params[name])
  return {**params, **read}


def _struct(text: str, sharding: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
  """The inverse of `checkpoint.describe` for one array."""
  dtype, shape = re.fullmatch(r'(\w+)\[([\d,]*)\]', text).groups()
  return jax.ShapeDtypeStruct(tuple(map(int, filter(None, shape.split(',')))), jnp.dtype(dtype), sharding=sharding)
