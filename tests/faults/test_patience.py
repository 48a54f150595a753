"""A run ends when its validation loss no longer falls, at the same step whether it was resumed or not."""

import dataclasses
import json

import pytest

from edtalk_jax.config import CheckpointConfig
from edtalk_jax.training import run
from edtalk_jax.training.loop import Loop
from edtalk_jax.training.shelf import Shelf
from tests.faults import toy

LOSSES = (3.0, 2.0, 2.5, 2.1, 1.0)  # of the checkpoints


@pytest.fixture
def train(monkeypatch, tmp_path):
  """Trains the toy with a validation loss as scripted: (workdir, steps, patience) -> lines said."""

  def make_loader(folder, *, start_step, **_):
    while True:
      yield {**toy.batch(start_step), 'index': range(8)}
      start_step += 1

  toy.install(monkeypatch, make_loader)
  monkeypatch.setattr(Loop, '_validate', lambda self, number, state, log: LOSSES[number - 1])

  def train(name, steps, patience=2):
    config = dataclasses.replace(
      toy.CONFIG,
      run=dataclasses.replace(toy.CONFIG.run, steps=steps),
      checkpoint=CheckpointConfig(every=1, keep=1, patience=patience),
    )
    said = []
    run.train(config, str(tmp_path / name), 'records', say=said.append)
    return said

  return train


def test_it_ends_without_a_better_checkpoint_and_keeps_the_best(train, tmp_path):
  said = train('run', 5)
  assert any('step 4: no lower validation loss than 2 at step 2 (checkpoint.patience); the run ends' in s for s in said)
  assert 'finished 4 steps' in said[-1]
  shelf = Shelf(tmp_path / 'run')
  assert shelf.steps() == [2, 4] and shelf.best() == 2
  assert len(train('run', 5)) == 1  # finished, and said so
  assert json.loads((tmp_path / 'run' / 'config.json').read_text())['config']['checkpoint']['patience'] == 2
  assert 'finished 5 steps' in train('run', 5, patience=0)[-1]  # an option that may change: it goes on
  assert shelf.best() == 5


def test_a_resumed_run_ends_at_the_same_step(train, tmp_path):
  train('parts', 3)
  train('parts', 5)
  assert Shelf(tmp_path / 'parts').steps() == [2, 4]
