"""Updates that are not finite, and losses that jump."""

import dataclasses
import functools
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax.config import CheckpointConfig, GuardConfig, LogConfig, MeshConfig, RunStopped
from edtalk_jax.training import checkpoint, guards, hooks, programs, sharding
from edtalk_jax.training.metrics import untimed
from tests.faults import toy


def same(first, second):
  jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.fixture(scope='module', params=['one device', 'mesh'])
def train(request):
  """A function that trains on some batches from one fixed state and returns (state, metrics) after each."""
  devices, shape = (jax.devices()[:1], MeshConfig())
  if request.param == 'mesh':
    devices, shape = jax.devices()[:4], MeshConfig(data=2, fsdp=2)
  mesh, stage = sharding.make_mesh(shape, devices), toy.stage()
  parts = programs.build(toy.CONFIG, stage, mesh)

  def states(batches):
    with jax.set_mesh(mesh):
      state, found = parts.init(jax.random.key(0)), []
      for batch in batches:
        state, metrics = parts.train(state, {}, jax.device_put(batch, sharding.batch_sharding(mesh)))
        found.append(jax.device_get((state, metrics)))
      assert parts.finite(state)
    return found

  return states


@pytest.mark.parametrize(
  ('where', 'broken'),
  [
    ('loss', {'loss', 'l1'}),
    ('gradient', {'grad_norm/model'}),
    ('discriminator', {'discriminator_loss', 'discriminator_real', 'grad_norm/discriminator'}),
  ],
)
def test_an_update_that_is_not_finite_is_skipped_in_both_networks(train, where, broken):
  first, second, bad_batch = toy.batch(0), toy.batch(1), toy.poison(where)
  found = train([first, bad_batch, bad_batch, second])
  (good, metrics), (bad, bad_metrics), (worse, _), (after, after_metrics) = found
  assert [int(state.step) for state, _ in found] == [1, 2, 3, 4]
  assert [int(state.skipped) for state, _ in found] == [0, 1, 2, 2]
  assert [int(state.skipped_in_row) for state, _ in found] == [0, 1, 2, 0]
  assert [float(m['guard/skipped_in_row']) for _, m in found] == [0, 1, 2, 0]
  assert np.isfinite(list(metrics.values())).all()
  assert {name for name, value in bad_metrics.items() if not np.isfinite(value)} == broken
  unseen = functools.partial(dataclasses.replace, step=0, skipped=0, skipped_in_row=0)
  same(unseen(bad), unseen(good))
  same(unseen(worse), unseen(good))
  # Nothing but the step number tells this run from one that never saw the bad batches.
  never, never_metrics = train([first, second])[1]
  same(unseen(after), unseen(never))
  strip = lambda values: {name: value for name, value in values.items() if name not in guards.SKIPS}
  same(strip(after_metrics), strip(never_metrics))
  for network in ('model', 'discriminator', 'model_moments', 'discriminator_moments'):
    pairs = zip(*(jax.tree.leaves(getattr(state, network)) for state in (after, good)), strict=True)
    assert all((a != b).any() for a, b in pairs), network  # the good updates were made


@pytest.mark.parametrize('name', [*guards.WATCHED, 'grad_norm/r1'])
def test_each_watched_number_alone_skips(name):
  old = guards.TrainState(*(jnp.int32(0), {'a': jnp.zeros(2)}, {}, {}, {}, jnp.int32(3), jnp.int32(1)))
  new = dataclasses.replace(old, step=jnp.int32(1), model={'a': jnp.ones(2)})
  good = dict.fromkeys(guards.WATCHED, jnp.float32(1))
  state, _ = guards.skip_unless_finite(old, new, good)
  assert state.model['a'].tolist() == [1, 1] and (state.skipped, state.skipped_in_row) == (3, 0)
  for value in (np.nan, np.inf, -np.inf):
    state, skips = guards.skip_unless_finite(old, new, {**good, name: jnp.float32(value)})
    assert state.model['a'].tolist() == [0, 0] and state.step == 1
    assert (state.skipped, state.skipped_in_row) == (4, 2) and skips['guard/skipped'] == 4


def spikes(losses, factor=10.0):
  watch = guards.Spikes(factor, window=100)
  return [number for number, loss in enumerate(losses) if watch.sees(loss) is not None]


def test_a_loss_that_jumps_is_reported_once():
  losses = [1 + 0.1 * np.sin(3 * k) for k in range(200)]
  assert spikes(losses) == []
  losses[50], losses[120] = 30.0, np.nan  # a NaN is a skipped update, not a spike
  losses[150:160] = [20.0] * 10
  assert spikes(losses) == [50, 150]
  assert spikes(losses, factor=0.0) == []
  assert spikes([5.0] * 5 + [500.0] + [5.0] * 5) == []  # too early to know
  assert spikes([5.0] * 40 + [5.001] * 5 + [6.0]) == [45]  # no spread at all


def batches(bad):
  """Batches from a step on; `bad` names the poison of some steps, counted from 1."""

  def from_step(start):
    for step in itertools.count(start):
      index = np.arange(step * 8, (step + 1) * 8)
      origin = np.array([[f'source=clip{k}:0', f'target=clip{k}:1'] for k in index])
      batch = toy.poison(bad[step + 1]) if step + 1 in bad else toy.batch(step)
      yield {**batch, 'index': index, 'origin': origin}

  return from_step


def settings(steps=6, **guard):
  return dataclasses.replace(
    toy.CONFIG,
    run=dataclasses.replace(toy.CONFIG.run, steps=steps),
    log=LogConfig(every=2, samples_every=0),
    checkpoint=CheckpointConfig(every=3),
    guard=GuardConfig(**guard),
  )


def lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_continues_after_skipped_updates_and_logs_their_examples(tmp_path):
  bad = batches(dict.fromkeys((2, 3, 5), 'loss'))
  said = toy.train(settings(), tmp_path / 'whole', bad)
  events = lines(tmp_path / 'whole' / 'events.jsonl')
  assert [(line['step'], line['event'], line['in_row']) for line in events] == [
    (2, 'skipped', 1),
    (3, 'skipped', 2),
    (5, 'skipped', 1),
  ]
  assert events[0]['examples'] == [8, 15]
  assert events[0]['pictures'][:3] == ['source=clip8:0', 'target=clip8:1', 'source=clip9:0']
  assert set(events[0]['not_finite']) == {'l1', 'loss'}
  metrics = lines(tmp_path / 'whole' / 'metrics.jsonl')
  assert [(line['step'], line['guard/skipped']) for line in metrics] == [(2, 1), (3, 2), (4, 2), (6, 3)]
  assert metrics[0]['loss'] is None and metrics[2]['loss'] > 0
  assert sum('update skipped' in line for line in said) == 3
  assert any('3 updates skipped' in line for line in said)

  # In two parts, the second after a checkpoint inside a row of skipped updates: the same counts and events, once each.
  parts = tmp_path / 'parts'
  toy.train(settings(steps=3), parts, bad)
  toy.train(settings(), parts, bad)
  assert lines(parts / 'events.jsonl') == events
  assert [untimed(line) for line in lines(parts / 'metrics.jsonl')] == [untimed(line) for line in metrics]


def test_too_many_in_a_row_stop_the_run_and_leave_the_batch(tmp_path):
  config = settings(stop_after=2)
  with pytest.raises(
    RunStopped,
    match=r'step 5: \S+ is nan; update skipped \(2 in a row\), guard\.stop_after=2; its '
    r'batch is in .*dumps/0000005\.npz',
  ):
    toy.train(config, tmp_path, batches(dict.fromkeys((2, 4, 5, 6), 'loss')))
  assert checkpoint.resume_step(tmp_path, print) == 3
  with np.load(tmp_path / 'dumps' / '0000005.npz') as dump:
    assert dump['step'] == 5 and dump['index'].tolist() == [*range(32, 40)]
    assert (dump['source'] == toy.POISON['loss']).all() and dump['origin'][0, 0] == 'source=clip32:0'
  toy.train(config, tmp_path, batches({}))  # mended
  assert [line['step'] for line in lines(tmp_path / 'events.jsonl')] == [2]
  assert [line['step'] for line in lines(tmp_path / 'metrics.jsonl')] == [2, 3, 4, 6]


def test_a_step_that_is_fetched_late_stops_the_run_all_the_same(tmp_path):
  config = settings(steps=12, stop_after=2)
  config = dataclasses.replace(config, log=LogConfig(every=100, samples_every=0), checkpoint=CheckpointConfig())
  with pytest.raises(RunStopped, match=r'step 3: grad_norm/model is (nan|inf)'):
    toy.train(config, tmp_path, batches(dict.fromkeys((2, 3), 'gradient')))
  assert [line['step'] for line in lines(tmp_path / 'events.jsonl')] == [2, 3]
  assert (tmp_path / 'dumps' / '0000003.npz').exists()


def test_a_loss_spike_is_logged_and_changes_nothing(tmp_path):
  found = {}
  for factor in (10.0, 0.0):
    workdir = tmp_path / str(factor)
    said = toy.train(settings(steps=30, spike_factor=factor), workdir, batches({25: 'spike'}))
    told = [line for line in said if line.startswith('step 25: loss 100') and 'jumps out of those before' in line]
    assert len(told) == bool(factor)
    found[factor] = [untimed(line) for line in lines(workdir / 'metrics.jsonl')]
  assert found[10.0] == found[0.0]
  (event,) = lines(tmp_path / '10.0' / 'events.jsonl')
  assert (event['step'], event['event'], event['examples']) == (25, 'spike', [192, 199])
  assert event['loss'] > 1000 > event['median'] and event['pictures'][0] == 'source=clip192:0'


class Break(hooks.Hook):
  """Makes the state after a step not finite, which no gradient shows."""

  def __call__(self, step):
    if step.number == 3:
      step.state = step.state.replace(step=step.state.step, model=jax.tree.map(lambda x: x * jnp.nan, step.state.model))


def test_a_state_that_is_not_finite_is_not_saved(tmp_path):
  with pytest.raises(RunStopped, match='step 3: a parameter or moment is not finite; it is not saved'):
    toy.train(settings(), tmp_path, batches({}), hooks=[Break(1)])
  assert checkpoint.resume_step(tmp_path, print) is None
