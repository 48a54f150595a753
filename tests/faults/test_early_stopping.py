"""A run ends when its validation loss no longer falls, at the same step whether it was resumed or not."""

import dataclasses

from edtalk_jax.config import CheckpointConfig
from edtalk_jax.training import hooks
from edtalk_jax.training.shelf import Shelf
from tests.faults import toy

LOSSES = (3.0, 2.0, 2.5, 2.1, 1.0)  # of the checkpoints


class Script(hooks.Hook):
  """In place of `Validate`: validation losses as written down."""

  def __call__(self, step):
    step.validation_loss = LOSSES[step.number - 1]


def train(workdir, steps, patience=2):
  config = dataclasses.replace(
    toy.CONFIG,
    run=dataclasses.replace(toy.CONFIG.run, steps=steps),
    checkpoint=CheckpointConfig(every=1, keep=1, patience=patience),
  )
  return toy.train(config, workdir, toy.from_step, hooks=[Script(1)])


def test_a_run_ends_without_a_better_checkpoint_and_keeps_the_best(tmp_path):
  said = train(tmp_path, 5)
  assert said[-1] == 'step 4: no lower validation loss than 2 at step 2 (checkpoint.patience); the run ends here'
  shelf = Shelf(tmp_path)
  assert shelf.steps() == [2, 4] and shelf.best() == 2
  config = CheckpointConfig(every=1, keep=1, patience=2)
  assert 'than 2 at step 2' in hooks.EarlyStopping(config, tmp_path).reason(4)  # known before the run is resumed
  train(tmp_path, 5, patience=0)  # an option that may change: the run is resumed
  assert shelf.best() == 5


def test_a_resumed_run_ends_at_the_same_step(tmp_path):
  train(tmp_path, 3)
  train(tmp_path, 5)
  assert Shelf(tmp_path).steps() == [2, 4]
