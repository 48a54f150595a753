"""What is on the disk before what: a power cut at any moment leaves a whole checkpoint, and the lines of its steps."""

import os

from edtalk_jax.training import hooks
from edtalk_jax.training.shelf import Shelf


def test_a_checkpoint_gets_its_name_when_all_of_it_is_on_the_disk(tmp_path, monkeypatch):
  shelf = Shelf(tmp_path)
  (shelf.part(5) / 'model').mkdir(parents=True)
  for name in ('index', 'model/array'):
    (shelf.part(5) / name).write_bytes(b'numbers')
  synced, fsync = [], os.fsync

  def noted(descriptor):
    synced.append(os.path.relpath(os.readlink(f'/proc/self/fd/{descriptor}'), shelf.folder))
    fsync(descriptor)

  monkeypatch.setattr(os, 'fsync', noted)
  shelf.commit(5, {'validation_loss': None}, keep=1)
  assert synced == ['5.part/index', '5.part/model/array', '5.part/manifest.json', '5.part', '5.part/model', '.']
  assert shelf.steps() == [5]


class Noted:
  """A metric log and what saves checkpoints, which say when they are called."""

  def __init__(self):
    self.calls = []

  def sync(self):
    self.calls.append('lines')

  def save(self, state, validation_loss):
    self.calls.append((state, validation_loss))


def test_the_lines_of_a_checkpoint_are_on_the_disk_before_it():
  noted = Noted()
  hooks.Checkpoint(5, noted)(hooks.Step(5, 'state', {}, noted, validation_loss=0.5))
  assert noted.calls == ['lines', ('state', 0.5)]
