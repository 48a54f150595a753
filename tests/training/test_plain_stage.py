"""A stage without discriminator and images of its own, whose first batch sets its initial bias."""

import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import stages
from edtalk_jax.config import CheckpointConfig, LogConfig, UserError
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import checkpoint, examples, first_state, hand_off, programs, sharding
from edtalk_jax.training import train as training
from tests import tiny

CONFIG = tiny.config('plain')
CONFIG = dataclasses.replace(
  CONFIG, log=LogConfig(every=1, samples_every=1, validate_batches=0), checkpoint=CheckpointConfig(every=2)
)


def rows(batch):
  """Mean colours of image rows, float32[batch, height, 3]."""
  return jnp.mean(batch['target'] / 255.0, 2)


def stage(**changes) -> Stage:
  """Learns to scale rows of colours; its bias starts at their mean."""

  def losses(model, discriminator, frozen, batch):
    assert not discriminator
    off = rows(batch) * model['layer']['scale'][None, None] - model['layer']['bias'][None, None] - 1
    return {'distance': jnp.mean(off**2, (1, 2))}, {}

  def start(model, batch):
    return {'layer/bias': jnp.mean(rows(batch), (0, 1))}

  def init(key):
    return {'model': {'layer': {'scale': jax.random.normal(key, (3,)), 'bias': jnp.zeros(3)}}, 'discriminator': {}}

  plain = Stage(
    name='plain',
    sampler='reconstruction',
    starts_from=None,
    trainable='',
    init=init,
    init_frozen=dict,
    model_losses=losses,
    start=start,
  )
  return dataclasses.replace(plain, **changes)


@pytest.fixture
def train(heads, monkeypatch):
  """Trains `stage` on rendered heads: (workdir, steps, devices, changes of the stage) -> lines of the log."""

  def run(workdir, steps, devices=1, **changes):
    said = []
    module = types.SimpleNamespace(
      TRAINABLE={'everything': ''}, build=lambda config: stage(**changes), model_config=lambda model: model
    )
    monkeypatch.setitem(stages.STAGES, 'plain', module)
    config = dataclasses.replace(CONFIG, run=dataclasses.replace(CONFIG.run, steps=steps))
    training.train(config, str(workdir), str(heads), say=said.append, devices=jax.devices()[:devices])
    return said

  return run


@pytest.fixture
def first(heads):
  """Mean colour of the first batch."""
  return np.mean(rows(examples.Examples(CONFIG, stage(), str(heads)).first()), (0, 1))


def state(workdir, step, **changes):
  like = programs.build(CONFIG, stage(**changes), sharding.make_mesh(CONFIG.mesh, jax.devices()[:1])).shapes
  return checkpoint.restore(workdir, step, like)


def test_it_trains_and_resumes_and_logs_no_discriminator(train, tmp_path):
  said = train(tmp_path / 'whole', 4)
  assert not any('discriminator' in line or 'VGG' in line for line in said)
  lines = [json.loads(line) for line in (tmp_path / 'whole' / 'metrics.jsonl').read_text().splitlines()]
  assert {'distance', 'loss', 'grad_norm/model'} < set(lines[0])
  assert not any('discriminator' in name for line in lines for name in line)
  assert json.loads((tmp_path / 'whole' / 'config.json').read_text())['perceptual_features'] is None
  train(tmp_path / 'parts', 2)
  train(tmp_path / 'parts', 4)
  jax.tree.map(np.testing.assert_array_equal, state(tmp_path / 'whole', 4), state(tmp_path / 'parts', 4))


@pytest.mark.parametrize('devices', [1, 4])
def test_the_first_batch_sets_the_bias(train, first, tmp_path, devices):
  train(tmp_path, 0, devices)
  # Another mesh adds 128 numbers of order 1 in another order.
  np.testing.assert_allclose(state(tmp_path, 0).model['layer']['bias'], first, atol=1e-6)


def test_what_another_run_has_handed_over_stays(train, heads, tmp_path):
  train(tmp_path / 'first', 2)
  opened = hand_off.open_run(str(tmp_path / 'first'))
  built = programs.build(CONFIG, stage(), sharding.make_mesh(CONFIG.mesh, jax.devices()[:1]))
  fresh = built.init(jax.random.key(7))
  params, report = hand_off.hand_off({'model': fresh.model, 'discriminator': fresh.discriminator}, opened)
  assert set(report.restored) == {'model/layer/scale', 'model/layer/bias'}
  mesh = sharding.make_mesh(CONFIG.mesh, jax.devices()[:1])
  learns_from = examples.Examples(CONFIG, stage(), str(heads))
  begun = first_state.set_by_first_batch(learns_from, built, mesh, params['model'], set())
  assert begun['layer']['bias'] is params['model']['layer']['bias']
  moved = first_state.set_by_first_batch(learns_from, built, mesh, params['model'], {'model/layer/bias'})
  assert moved['layer']['scale'] is params['model']['layer']['scale']
  assert not np.array_equal(moved['layer']['bias'], params['model']['layer']['bias'])


def test_what_data_sets_may_be_frozen_and_nothing_else(train, first, tmp_path):
  train(tmp_path / 'set', 1, trainable='scale')
  bias = state(tmp_path / 'set', 1, trainable='scale').model['layer']['bias']
  np.testing.assert_allclose(bias, first, atol=1e-6)
  with pytest.raises(UserError, match='does not train model/layer/scale'):
    train(tmp_path / 'drawn', 1, trainable='bias')


def test_a_diagnosis_is_logged_of_every_ten_metric_lines(train, tmp_path):
  said = train(tmp_path, 21, diagnose=lambda examples, means: f'{examples} at {means["distance"]:.6g}')
  lines = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
  means = [np.mean([line['distance'] for line in lines[first : first + 10]]) for first in (0, 10)]
  expected = [f'step {last}: 80 at {mean:.6g}' for last, mean in zip((10, 20), means, strict=True)]
  assert [line for line in said if ' at ' in line and line.startswith('step')] == expected


def test_frozen_parameters_come_from_another_run(train, tmp_path):
  train(tmp_path, 2)
  drawn = {'layer': {'scale': np.zeros(3, np.float32), 'bias': np.zeros(3, np.float32)}, 'other': {'x': np.ones(1)}}
  found = hand_off.read_frozen(drawn, {'layer': str(tmp_path)})
  jax.tree.map(np.testing.assert_array_equal, found['layer'], jax.device_get(state(tmp_path, 2).model['layer']))
  assert found['other'] is drawn['other']
  with pytest.raises(UserError, match='which has no other'):
    hand_off.read_frozen(drawn, {'other': str(tmp_path)})
  with pytest.raises(UserError, match=r'its layer has other sizes: layer/bias is float32\[3\] there and float32\[4\]'):
    hand_off.read_frozen({'layer': {**drawn['layer'], 'bias': np.zeros(4, np.float32)}}, {'layer': str(tmp_path)})
