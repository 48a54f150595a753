"""Checkpoints of a run: written in the background by Orbax, whole or not at all.

A checkpoint of step s is `workdir/checkpoints/<s>/` with one folder per part, so that inference reads `model` alone:
`model` and `discriminator` (parameters; some stages have no
discriminator), `ema` (the average of `model`, if one is kept) and `training` (the rest of the
state: step, both optimisers' moments).
Beside them lies the manifest (`integrity`), which also says what the checkpoint holds.
"""

import concurrent.futures
import contextlib
import dataclasses
import math
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from edtalk_jax._version import __version__
from edtalk_jax.config import CheckpointConfig, UserError
from edtalk_jax.terminal import PeerLost, Unavailable
from edtalk_jax.training import cluster, trees
from edtalk_jax.training.shelf import Say, Shelf
from edtalk_jax.training.state import TrainState

if TYPE_CHECKING:
  from edtalk_jax.training.remote import RemoteRun  # which is made of what is here

NETWORKS = ('model', 'discriminator')  # fields of TrainState that are parts of their own
EMA = 'ema'  # a part too, if there is one
PARTS = (*NETWORKS, EMA, 'training')


class Checkpoints:
  """Saves the state of one run. Use as a context manager: leaving it waits for the last save.

  With several processes all call the same methods; process 0 moves folders.
  """

  def __init__(
    self, workdir: pathlib.Path, config: CheckpointConfig, run: Mapping[str, Any], remote: 'RemoteRun | None' = None
  ):
    """Writes nothing yet.

    Args:
      workdir: of the run.
      config: what is kept.
      run: the content of config.json, which every checkpoint repeats, so that it explains itself.
      remote: what takes the checkpoints from `workdir`, which then is a folder of this process alone.
    """
    self._shelf, self._keep, self._run, self._remote = Shelf(workdir.resolve()), config.keep, run, remote
    self._orbax = ocp.AsyncCheckpointer(_handler(PARTS)) if remote is None else _checkpointer_of_one_process(PARTS)
    self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix='checkpoint')
    self._saving: concurrent.futures.Future[None] | None = None

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, kind, error, trace) -> None:
    if isinstance(error, PeerLost):
      return  # a save in which the lost process has a part would never end
    try:
      self.wait()
    finally:
      self._thread.shutdown()
      with contextlib.suppress(Exception):  # what failed is what `wait` has raised
        self._orbax.close()

  def save(self, state: TrainState, validation_loss: float) -> None:
    """Starts saving `state`; returns when the arrays are copied, before they are on disk.

    Args:
      state: of the run.
      validation_loss: by which the best checkpoint is kept; infinite if unknown.

    Raises:
      UserError: if this save or the one before it failed, as on a full disk. Older checkpoints stay as they are.
    """
    self.wait()
    step, parts = int(state.step), parts_of(state)
    about = {
      'version': __version__,
      'validation_loss': validation_loss if math.isfinite(validation_loss) else None,
      'run': dict(self._run),
      'arrays': describe(parts),
    }
    with self._errors(step):
      if jax.process_index() == 0 or self._remote is not None:
        self._shelf.prepare(step, sum(leaf.nbytes for leaf in jax.tree.leaves(parts)))
      self._orbax.save(
        self._shelf.part(step),
        args=ocp.args.Composite(**{name: ocp.args.PyTreeSave(part) for name, part in parts.items()}),
      )
    self._saving = self._thread.submit(self._finish, step, about)

  def wait(self) -> None:
    """Returns when nothing is being saved. Raises UserError if that failed."""
    saving, self._saving = self._saving, None
    if saving is not None:
      saving.result()

  def _finish(self, step: int, about: dict[str, Any]) -> None:
    with self._errors(step):
      self._orbax.wait_until_finished()
      if self._remote is not None:
        self._remote.commit(step, about, self._keep)
        return
      if jax.process_index() == 0:
        self._shelf.commit(step, about, self._keep)
      cluster.barrier(f'sealed {self._shelf.path(step)}')  # all see the same checkpoints after `wait`

  @contextlib.contextmanager
  def _errors(self, step: int) -> Iterator[None]:
    """Turns whatever stops a save into one line; what it left is deleted when the run is started again."""
    try:
      yield
    except PeerLost:
      raise
    except Exception as error:  # OSError, or one of several types of TensorStore with the system's text in it
      where = self._shelf.path(step) if self._remote is None else self._remote.where(step)
      kind = Unavailable if isinstance(error, Unavailable) else UserError
      raise kind(f'{where}: could not be saved ({reason(error)}); checkpoints of earlier steps are kept') from error


def write(workdir: pathlib.Path, run: Mapping[str, Any], parts: Mapping[str, Any], step: int = 0) -> None:
  """Makes the checkpoint of a run that was not trained here, and waits until it is on the disk.

  Args:
    workdir: of the run.
    run: the content of config.json.
    parts: some of PARTS, by name.
    step: of the checkpoint.

  Raises:
    UserError: if it cannot be written.
  """
  shelf = Shelf(workdir.resolve())
  about = {'version': __version__, 'validation_loss': None, 'run': dict(run), 'arrays': describe(parts)}
  try:
    shelf.prepare(step, sum(leaf.nbytes for leaf in jax.tree.leaves(parts)))
    with ocp.Checkpointer(_handler(parts)) as writer:
      arguments = {name: ocp.args.PyTreeSave(part) for name, part in parts.items()}
      writer.save(shelf.part(step), args=ocp.args.Composite(**arguments))
    shelf.commit(step, about, keep=1)
  except Exception as error:  # OSError, or one of several types of TensorStore with the system's text in it
    raise UserError(f'{shelf.path(step)}: could not be saved ({reason(error)})') from error


def restore(workdir: pathlib.Path, step: int, like: TrainState) -> TrainState:
  """Reads the state of `step` into the shapes and shardings of `like` (ShapeDtypeStructs).

  Raises:
    UserError: if the checkpoint holds other arrays.
  """
  folder, wanted = Shelf(workdir).path(step), parts_of(like)
  if differing := differences(Shelf(workdir).about(step)['arrays'], describe(wanted)):
    shown = '; '.join(differing[:3])
    raise UserError(f'{folder} holds another state: {shown} ({len(differing)} arrays differ)')
  found = read_parts(folder, wanted)
  return like.replace(**found.pop('training'), **found)


def resume_step(workdir: pathlib.Path, say: Say) -> int | None:
  """The newest whole checkpoint's step, or None; see `Shelf.recover`.

  Raises:
    UserError: if there are checkpoints, but none is whole.
  """
  return from_first_process(lambda: Shelf(workdir).recover(say))


def from_first_process(find: Callable[[], int | None]) -> int | None:
  """What `find` returns on process 0, on all processes: they must not see a folder change at different moments.

  Raises:
    UserError, Unavailable: on all processes, if `find` does.
  """
  if jax.process_count() == 1:
    return find()
  none, kinds = -1, {-2: UserError, -3: Unavailable}
  step, failure = none, None
  if jax.process_index() == 0:
    try:
      found = find()
      step = none if found is None else found
    except (UserError, Unavailable) as error:
      step, failure = -2 if isinstance(error, UserError) else -3, error
  step = int(multihost_utils.broadcast_one_to_all(np.int32(step)))
  if step in kinds:
    raise failure or kinds[step]('process 0 stopped with the error above')
  return None if step == none else step


def parts_of(state: TrainState) -> dict[str, Any]:
  """Splits a state into the parts that are read separately."""
  fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
  # What is off has no arrays, and leaves no trace: so checkpoints from before it existed stay readable.
  fields = {name: value for name, value in fields.items() if jax.tree.leaves(value)}
  parts = {name: fields.pop(name) for name in (*NETWORKS, EMA) if name in fields}
  return {**parts, 'training': fields}


def read_parts(folder: pathlib.Path, parts: Mapping[str, Any]) -> dict[str, Any]:
  """Reads the arrays that `parts` names (ShapeDtypeStructs with shardings) from a checkpoint; others stay unread.

  Raises:
    UserError: if Orbax cannot read them, though the bytes are those that were saved.
  """

  def arguments(part):
    restore_args = ocp.checkpoint_utils.construct_restore_args(part)
    return ocp.args.PyTreeRestore(item=part, restore_args=restore_args, partial_restore=True)

  with ocp.Checkpointer(_handler(parts)) as reader:
    try:
      found = reader.restore(folder.resolve(), args=ocp.args.Composite(**{n: arguments(p) for n, p in parts.items()}))
    except Exception as error:
      raise UserError(f'{folder}: could not be read ({reason(error)})') from error
  return {name: found[name] for name in parts}


def _handler(parts: Iterable[str]) -> ocp.CompositeCheckpointHandler:
  return ocp.CompositeCheckpointHandler(**{name: ocp.PyTreeCheckpointHandler() for name in parts})


def _checkpointer_of_one_process(parts: Iterable[str]) -> ocp.AsyncCheckpointer:
  """Writes this process's chunks into a folder that no other process sees.

  Without OCDBT, whose index one process would have to make of all others' files. Chunks that several processes hold are
  written by the first: splitting them would give thousands of objects.
  """
  alone = ocp.options.MultiprocessingOptions(primary_host=None)
  arrays = ocp.type_handlers.ArrayHandler(primary_host=None, replica_id=0, use_replica_parallel=False)
  registry = ocp.type_handlers.create_type_handler_registry((jax.Array, arrays))
  options = {'use_ocdbt': False, 'multiprocessing_options': alone, 'type_handler_registry': registry}
  handlers = {name: ocp.PyTreeCheckpointHandler(**options) for name in parts}
  return ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler(**handlers), multiprocessing_options=alone)


def describe(tree: Any) -> dict[str, str]:
  """Path -> 'float32[3,3,16,32]' for every array of `tree`."""
  leaves, _ = jax.tree.flatten_with_path(tree)
  return {trees.path_of(path): f'{leaf.dtype}[{",".join(map(str, leaf.shape))}]' for path, leaf in leaves}


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
  """What `describe` says differently of two trees, array by array."""
  return [
    f'{path} is {there.get(path, "absent")} there and {here.get(path, "absent")} here'
    for path in sorted({*there, *here})
    if there.get(path) != here.get(path)
  ]


def reason(error: BaseException, limit: int = 200) -> str:
  """Why reading or writing failed, in one line: the system's words, where TensorStore passes on its error number."""
  if number := re.search(r"os_error_code='(\d+)'", str(error)):
    return os.strerror(int(number[1]))
  text = ' '.join(str(error).split()) or type(error).__name__
  return text if len(text) <= limit else text[: limit - 3] + '...'
