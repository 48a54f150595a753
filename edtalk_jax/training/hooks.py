"""What happens between the steps of a run: image grids, validation, checkpoints, early stopping."""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Sharding

from edtalk_jax.config import CheckpointConfig, Config, RunStopped
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import checkpoint, samples
from edtalk_jax.training import sharding as sharding_lib
from edtalk_jax.training.checkpoint import Checkpoints
from edtalk_jax.training.feed import HostBatch, to_device
from edtalk_jax.training.metrics import MetricLog
from edtalk_jax.training.programs import Programs
from edtalk_jax.training.shelf import Shelf
from edtalk_jax.training.state import TrainState

GRID_ROWS = 4  # examples in an image grid
Say = Callable[[str], None]
# (generator side's parameters, discriminator's, device batch) -> arrays by name.
Evaluate = Callable[[Any, Any, dict[str, jax.Array]], Mapping[str, jax.Array]]


class StopTraining(Exception):
  """Raised by a hook to end a run before its last step; its text says why."""


@dataclasses.dataclass
class Step:
  """A step that was made, as hooks see it.

  Attributes:
    number: updates made so far.
    state: after the step.
    batch: of the step, as this process has read it.
    log: where metric lines go.
    validation_loss: of `state`, once `Validate` has run; infinite if unknown.
  """

  number: int
  state: TrainState
  batch: HostBatch
  log: MetricLog
  validation_loss: float = math.inf


class Hook:
  """Something that happens after every `every`-th step, and after the last; never if `every` is 0.

  The loop has waited for the device and written the step's metric line before it calls a hook. With several processes
  all call the same hooks.

  Attributes:
    name: what the watchdog reports if it hangs.
  """

  name = 'hook'

  def __init__(self, every: int):
    """Sets the interval in steps."""
    self._every = every

  def due(self, number: int, last: int) -> bool:
    """Returns whether to call the hook after step `number` of `last`."""
    return self._every > 0 and (number % self._every == 0 or number == last)

  def __call__(self, step: Step) -> None:
    """Acts on a step that is due."""
    raise NotImplementedError

  def without_steps(self, step: Step) -> None:
    """Acts on the initial state of a run of no steps."""

  def interrupt(self, step: Step) -> None:
    """Acts on the step after which the run is preempted."""


class ImageGrid(Hook):
  """Writes a labelled grid of the first examples of one batch to `samples/`."""

  name = 'image grid'

  def __init__(
    self,
    every: int,
    workdir: pathlib.Path,
    columns: Sequence[tuple[str, str, int]],
    images: Evaluate,
    sharding: Sharding,
    batch: HostBatch | None,
  ):
    """Binds the stage's `columns` and `images`; `batch` None takes the batch of the step. No columns: no grids."""
    super().__init__(every if columns else 0)
    self._folder, self._columns, self._images, self._sharding = workdir / 'samples', columns, images, sharding
    self._batch = batch

  def __call__(self, step: Step) -> None:
    """Does nothing with several processes: gathering the images of all hosts would stall a pod."""
    if jax.process_count() > 1:
      return
    batch = step.batch if self._batch is None else self._batch
    images = self._images(step.state.shown, step.state.discriminator, to_device(batch, self._sharding))
    grid = samples.columns(self._columns, batch, jax.device_get(images), GRID_ROWS)
    samples.write_grid(self._folder / f'{step.number:07d}.png', grid)


class CheckFinite(Hook):
  """Raises RunStopped if a parameter or moment is not finite: no run could resume from such a checkpoint."""

  name = 'finite check'

  def __init__(self, every: int, finite: Callable[[TrainState], jax.Array]):
    """Binds `Programs.finite`."""
    super().__init__(every)
    self._finite = finite

  def __call__(self, step: Step) -> None:
    """Checks the state."""
    if not self._finite(step.state):
      raise RunStopped(
        f'step {step.number}: a parameter or moment is not finite; it is not saved, checkpoints of earlier steps are '
        'kept'
      )

  without_steps = interrupt = __call__


class Validate(Hook):
  """Sets `Step.validation_loss` to the mean loss over held-out batches, and logs the mean of every term."""

  name = 'validation'

  def __init__(self, every: int, losses: Evaluate, sharding: Sharding, batches: Sequence[HostBatch], say: Say):
    """Binds `Programs.validate` and the batches, which are the same at every checkpoint; none: no validation."""
    super().__init__(every if batches else 0)
    self._losses, self._sharding, self._batches, self._say = losses, sharding, batches, say

  def __call__(self, step: Step) -> None:
    """Validates the state."""
    state, place = step.state, lambda batch: to_device(batch, self._sharding)
    found = jax.device_get([self._losses(state.shown, state.discriminator, place(batch)) for batch in self._batches])
    values = {f'validation/{name}': float(np.mean([terms[name] for terms in found])) for name in found[0]}
    step.log.write(step.number, values)
    step.validation_loss = values['validation/loss']
    self._say(f'step {step.number}: validation loss {step.validation_loss:.4g}')

  def without_steps(self, step: Step) -> None:
    """Validates the initial state."""
    if self._batches:
      self(step)


class Checkpoint(Hook):
  """Starts saving the state; the metric lines of its steps are on the disk before."""

  name = 'checkpoint'

  def __init__(self, every: int, checkpoints: Checkpoints):
    """Binds what writes the checkpoints."""
    super().__init__(every)
    self._checkpoints, self._saved = checkpoints, -1

  def __call__(self, step: Step) -> None:
    """Returns when the arrays are copied, before they are on the disk."""
    step.log.sync()
    self._checkpoints.save(step.state, step.validation_loss)
    self._saved = step.number

  without_steps = __call__

  def interrupt(self, step: Step) -> None:
    """Saves without validation, whose metric line an uninterrupted run would not have; waits for the disk."""
    if self._saved != step.number:
      self(step)
    self._checkpoints.wait()


class EarlyStopping(Hook):
  """Ends a run whose validation loss has not fallen for `checkpoint.patience` checkpoints.

  What counts are steps and losses of checkpoints, the best of which is always kept. So a run that is resumed ends at
  the same step as one that was never stopped.
  """

  name = 'early stopping'

  def __init__(self, config: CheckpointConfig, workdir: pathlib.Path):
    """Finds the best checkpoint of `workdir`; all processes must call this. `config.patience` 0: never stops."""
    super().__init__(config.every if config.patience else 0)
    self._steps = config.patience * config.every
    shelf = Shelf(workdir)
    self._best = checkpoint.from_first_process(shelf.best) if self._steps else None
    self._loss = math.inf if self._best is None else shelf.about(self._best)['validation_loss']

  def __call__(self, step: Step) -> None:
    """Raises StopTraining if the run has to end here."""
    if math.isfinite(step.validation_loss) and step.validation_loss <= self._loss:  # of equal ones the newest is kept
      self._best, self._loss = step.number, step.validation_loss
    if why := self.reason(step.number):
      raise StopTraining(why)

  def reason(self, step: int) -> str:
    """Returns why the run ends at the checkpoint of `step`; '' if it does not."""
    if not self._steps or self._best is None or step - self._best < self._steps:
      return ''
    return f'no lower validation loss than {self._loss:.4g} at step {self._best} (checkpoint.patience)'


def standard(
  config: Config,
  stage: Stage,
  compiled: Programs,
  frozen: Any,
  held_out: Sequence[HostBatch],
  workdir: pathlib.Path,
  checkpoints: Checkpoints,
  stopping: EarlyStopping,
  say: Say,
) -> list[Hook]:
  """The hooks of a run, in order: a checkpoint needs its validation loss, early stopping the newest checkpoint.

  Args:
    config: of the run; `log` and `checkpoint` are read here.
    stage: names the columns of image grids.
    compiled: the stage's functions.
    frozen: parameters that never train, on the mesh.
    held_out: this process's share of the validation batches; none: no validation.
    workdir: where image grids go.
    checkpoints: writes the checkpoints.
    stopping: made before the run, which may be finished by it.
    say: where the validation loss is logged.
  """
  place, every = sharding_lib.batch_sharding(compiled.mesh), config.checkpoint.every

  def bound(program: Callable[..., Any]) -> Evaluate:
    return lambda model, discriminator, batch: program(model, discriminator, frozen, batch)

  example = held_out[0] if held_out else None
  return [
    ImageGrid(config.log.samples_every, workdir, stage.samples, bound(compiled.images), place, example),
    CheckFinite(every, compiled.finite),
    Validate(every, bound(compiled.validate), place, held_out, say),
    Checkpoint(every, checkpoints),
    stopping,
  ]
