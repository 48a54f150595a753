"""When a run ends before its last step: its validation loss has not fallen for some checkpoints."""

import math
import pathlib

from edtalk_jax.config import CheckpointConfig
from edtalk_jax.training import checkpoint
from edtalk_jax.training.shelf import Shelf


class Patience:
  """Knows the best checkpoint of a run, and whether it is too long ago.

  What counts are steps and losses of checkpoints, the best of which is always kept. So a run that is resumed ends where
  one that was never stopped does.
  """

  def __init__(self, config: CheckpointConfig, workdir: pathlib.Path):
    """Finds the best checkpoint that is there; all processes must call this."""
    self._steps = config.patience * config.every
    shelf = Shelf(workdir)
    self._best = checkpoint.from_first_process(shelf.best) if self._steps else None
    self._loss = math.inf if self._best is None else shelf.about(self._best)['validation_loss']

  def sees(self, step: int, loss: float) -> None:
    """Takes the validation loss of a checkpoint; infinite if it is unknown."""
    if loss <= self._loss and math.isfinite(loss):  # of equal ones the newest is kept
      self._best, self._loss = step, loss

  def spent(self, step: int) -> str:
    """Says why the run ends at the checkpoint of `step`; '' if it goes on."""
    if not self._steps or self._best is None or step - self._best < self._steps:
      return ''
    return f'no lower validation loss than {self._loss:.4g} at step {self._best} (checkpoint.patience)'
