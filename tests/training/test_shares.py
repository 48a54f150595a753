"""What one of two processes does, in this one: its share of a batch, and the manifest of what both have written."""

import itertools
import json

import jax
import numpy as np
import pytest

from edtalk_jax import stages
from edtalk_jax.config import UserError
from edtalk_jax.storage import Store
from edtalk_jax.training import feed, integrity
from edtalk_jax.training.remote_shelf import RemoteShelf
from tests import tiny


@pytest.fixture
def second_of_two(monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  monkeypatch.setattr(jax, 'process_index', lambda: 1)


def test_noise_has_the_positions_that_a_loader_would_give(second_of_two):
  config = tiny.config('reconstruction')
  steps = itertools.islice(feed.noise(config, stages.build(config), 3), 2)
  for step, batch in enumerate(steps, start=3):
    assert len(batch['source']) == 4
    np.testing.assert_array_equal(batch['index'], np.arange(8 * step + 4, 8 * step + 8))


def test_a_manifest_names_what_every_process_has_written(second_of_two, tmp_path):
  store = Store(f'memory://{tmp_path.name}')
  shelf, own, others = RemoteShelf(store, tmp_path), {'model/0': [1, 'a']}, {'model/1': [2, 'b']}
  with pytest.raises(UserError, match=r'files-1\.json: written by its process, but not there'):
    shelf.seal(5, {}, own)
  assert store.sizes() == {}  # no checkpoint yet
  store.write('checkpoints/5/files-1.json', json.dumps(others).encode())
  shelf.seal(5, {}, own)
  assert list(store.sizes()) == ['checkpoints/5/manifest.json']
  assert integrity.parse(store.read('checkpoints/5/manifest.json')) == {
    'about': {'step': 5},
    'files': {**own, **others},
  }
