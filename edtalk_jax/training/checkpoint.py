"""Checkpoints of a run: written in the background by Orbax, whole or not at all.

A checkpoint of step s is `workdir/checkpoints/<s>/` with one folder per part, so that inference reads `model` alone:
`model` and `discriminator` (parameters), `moments` (both optimisers) and `about` (JSON: step, stage, version).
"""

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Iterator
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from edtalk_jax import stages
from edtalk_jax._version import __version__
from edtalk_jax.config import CheckpointConfig, Config, UserError
from edtalk_jax.training import record, trees
from edtalk_jax.training.state import TrainState

FOLDER = 'checkpoints'
UNKNOWN_LOSS = float(np.finfo(np.float32).max)  # of a checkpoint without validation; JSON has no infinity
Which = Literal['latest', 'best']


@dataclasses.dataclass(frozen=True)
class Restored:
  """The parameters of a run, for inference.

  Attributes:
    config: the run's, with the model that its stage trains.
    params: of `EDTalk(config.model)`.
    step: updates made.
    path: the checkpoint.
  """

  config: Config
  params: dict[str, Any]
  step: int
  path: pathlib.Path


class Checkpoints:
  """Saves and restores the state of one run. Use as a context manager: leaving it waits for the last save."""

  def __init__(self, workdir: pathlib.Path, config: CheckpointConfig, read_only: bool = False):
    by_loss = {'get_metric_fn': _loss, 'reverse': True, 'n': 1, 'keep_checkpoints_without_metrics': False}
    self._manager = ocp.CheckpointManager(
      (workdir / FOLDER).resolve(),
      options=ocp.CheckpointManagerOptions(
        preservation_policy=preservation_policy.AnyPreservationPolicy(
          [preservation_policy.LatestN(config.keep), preservation_policy.BestN(**by_loss)]
        ),
        best_fn=_loss,
        best_mode='min',
        read_only=read_only,
        create=not read_only,
      ),
    )

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, *exception) -> None:
    self._manager.close()

  def latest_step(self) -> int | None:
    """The newest whole checkpoint's step, or None."""
    return self._manager.latest_step()

  def step(self, which: Which) -> int | None:
    """The step of the newest checkpoint, or of the one with the lowest validation loss; None if there is none."""
    if which == 'latest':
      return self._manager.latest_step()
    best = self._manager.best_step()
    return None if best is None or self._manager.metrics(best)['loss'] == UNKNOWN_LOSS else best

  def save(self, state: TrainState, about: dict[str, Any], validation_loss: float) -> None:
    """Starts saving `state`; returns when the arrays are copied, before they are on disk."""
    step = int(state.step)
    self._manager.save(
      step,
      args=ocp.args.Composite(
        model=ocp.args.StandardSave(state.model),
        discriminator=ocp.args.StandardSave(state.discriminator),
        moments=ocp.args.StandardSave(_moments(state)),
        about=ocp.args.JsonSave({**about, 'step': step, 'version': __version__}),
      ),
      metrics={'loss': validation_loss if math.isfinite(validation_loss) else UNKNOWN_LOSS},
    )

  def restore(self, step: int, like: TrainState) -> TrainState:
    """Reads the state of `step` into the shapes and shardings of `like` (ShapeDtypeStructs)."""
    parts = {'model': like.model, 'discriminator': like.discriminator, 'moments': _moments(like)}
    found = self._manager.restore(
      step, args=ocp.args.Composite(**{name: ocp.args.StandardRestore(part) for name, part in parts.items()})
    )
    model_moments, discriminator_moments = found['moments']['model'], found['moments']['discriminator']
    return like.replace(
      step=found['moments']['step'],
      model=found['model'],
      discriminator=found['discriminator'],
      model_moments=model_moments,
      discriminator_moments=discriminator_moments,
    )

  def restore_part(self, step: int, name: str, like: Any) -> Any:
    """Reads one part ('model' or 'discriminator') of the checkpoint of `step`."""
    return self._manager.restore(step, args=ocp.args.Composite(**{name: ocp.args.StandardRestore(like)}))[name]


def _loss(metrics: dict[str, float]) -> float:
  return metrics['loss']


def _moments(state: TrainState) -> dict[str, Any]:
  return {'step': state.step, 'model': state.model_moments, 'discriminator': state.discriminator_moments}


@contextlib.contextmanager
def open_run(workdir: str, which: Which = 'latest') -> Iterator[tuple[Config, Checkpoints, int]]:
  """Opens a run for reading: its configuration, its checkpoints and the step of the wanted one.

  Raises:
    UserError: if the folder is no run or holds no such checkpoint.
  """
  folder = pathlib.Path(workdir)
  config = record.read_config(folder)
  if not (folder / FOLDER).is_dir():
    raise UserError(f'{workdir}: the run has no checkpoint yet')
  with Checkpoints(folder, config.checkpoint, read_only=True) as checkpoints:
    step = checkpoints.step(which)
    if step is None:
      why = 'yet' if which == 'latest' else 'with a validation loss; use the latest'
      raise UserError(f'{workdir}: the run has no checkpoint {why}')
    yield config, checkpoints, step


def read_run(workdir: str, which: Which = 'latest') -> Restored:
  """Reads the generator side's parameters of a run, onto the first device.

  Raises:
    UserError: if the folder is no run or holds no checkpoint yet.
  """
  with open_run(workdir, which) as (config, checkpoints, step):
    params = checkpoints.restore_part(step, 'model', _on_one_device(_shapes(config)['model']))
  config = dataclasses.replace(config, model=stages.model_config(config))
  return Restored(config=config, params=params, step=step, path=pathlib.Path(workdir) / FOLDER / str(step))


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


def hand_off(params: dict[str, Any], workdir: str, which: Which = 'latest') -> tuple[dict[str, Any], HandOff]:
  """Fills fresh `params` = {'model', 'discriminator'} with the arrays of equal path of another run.

  Optimiser moments start anew, as the two stages train different parameters.

  Raises:
    UserError: if the run cannot be read, or an array of equal path has another shape (another model size).
  """
  fresh = trees.flatten(params)
  with open_run(workdir, which) as (config, checkpoints, step):
    shapes = _on_one_device(_shapes(config))
    found = trees.flatten({name: checkpoints.restore_part(step, name, shapes[name]) for name in sorted(params)})
  wrong = [path for path in fresh if path in found and fresh[path].shape != found[path].shape]
  if wrong:
    path = wrong[0]
    raise UserError(
      f'--from {workdir}: its model has other sizes: {path} is {found[path].shape} there and '
      f'{fresh[path].shape} here ({len(wrong)} arrays differ); compare the two config.json'
    )
  merged = {path: jax.device_put(found[path], leaf.sharding) if path in found else leaf for path, leaf in fresh.items()}
  report = HandOff(
    source=workdir,
    step=step,
    restored=tuple(path for path in fresh if path in found),
    new=tuple(path for path in fresh if path not in found),
    unused=tuple(path for path in found if path not in fresh),
  )
  return trees.unflatten(merged), report


def _shapes(config: Config) -> dict[str, Any]:
  return jax.eval_shape(stages.build(config).init, jax.random.key(0))


def _on_one_device(tree: Any) -> Any:
  sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)
