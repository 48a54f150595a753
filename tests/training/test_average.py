"""The average of the generator side's parameters: its recurrence, where it is kept, and who reads it."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from edtalk_jax.config import CheckpointConfig, LogConfig, MeshConfig
from edtalk_jax.training import hand_off, metrics, programs, sharding, trees
from edtalk_jax.training import train as training
from tests.faults import toy

HALF_LIFE = 20.0  # examples; batches have 8


def settings(steps=4, ema=HALF_LIFE):
  return dataclasses.replace(
    toy.CONFIG,
    run=dataclasses.replace(toy.CONFIG.run, steps=steps),
    optimizer=dataclasses.replace(toy.CONFIG.optimizer, ema=ema, learning_rate=0.1),
    log=LogConfig(every=1, samples_every=0, validate_batches=1),
    checkpoint=CheckpointConfig(every=2),
  )


@pytest.mark.parametrize(('devices', 'fsdp'), [(1, 1), (4, 2)])
def test_it_is_that_of_numpy_and_skips_what_the_update_skips(devices, fsdp):
  mesh = sharding.make_mesh(MeshConfig(fsdp=fsdp), jax.devices()[:devices])
  parts = programs.build(settings(), toy.stage(), mesh)
  with jax.set_mesh(mesh):
    state = parts.init(jax.random.key(0))
    kernel = state.ema['encoder']['kernel']
    assert kernel.sharding == state.model['encoder']['kernel'].sharding
    expected, moved = trees.flatten(jax.device_get(state.model)), []
    for seed in range(60):
      batch = toy.poison('loss') if seed == 50 else toy.batch(seed)
      before = trees.flatten(jax.device_get(state.ema))
      state, _ = parts.train(state, {}, jax.device_put(batch, sharding.batch_sharding(mesh)))
      found = jax.device_get(state)
      if seed != 50:
        # A twentieth of what was seen is less than the half-life up to step 50.
        decay = 0.5 ** (8 / min(HALF_LIFE, 0.05 * 8 * (seed + 1)))
        params = trees.flatten(found.model)
        expected = {path: decay * old + (1 - decay) * params[path] for path, old in expected.items()}
      for path, array in trees.flatten(found.ema).items():
        np.testing.assert_allclose(array, expected[path], rtol=1e-5, atol=1e-6)  # float32 against itself
      moved.append(any((array != before[path]).any() for path, array in trees.flatten(found.ema).items()))
  assert moved == [seed != 50 for seed in range(60)]


def params(workdir, **choice):
  return trees.flatten(jax.device_get(hand_off.read_run(str(workdir), **choice).params))


def same(first, second):
  return all((array == second[path]).all() for path, array in first.items())


def test_it_survives_a_resume_is_read_by_default_and_stays_behind_at_a_hand_off(heads, tmp_path):
  whole, parts, plain, later = (tmp_path / name for name in ('whole', 'parts', 'plain', 'later'))
  train = functools.partial(training.train, data=str(heads), say=lambda line: None, devices=jax.devices()[:1])
  train(settings(), str(whole))
  train(settings(steps=2), str(parts))
  train(settings(), str(parts))
  assert same(params(parts), params(whole)) and same(params(parts, raw=True), params(whole, raw=True))
  assert hand_off.read_run(str(whole)).averaged and not same(params(whole), params(whole, raw=True))
  assert (parts / 'metrics.jsonl').read_text().count('validation/loss') == 2

  train(settings(ema=0.0), str(plain))
  assert not hand_off.read_run(str(plain)).averaged and same(params(plain), params(plain, raw=True))
  for path, array in params(whole, raw=True).items():  # the average changes nothing but the rounding of another program
    np.testing.assert_allclose(params(plain)[path], array, rtol=1e-6, atol=1e-6, err_msg=path)
  lines = [metrics.read_lines(path / metrics.FILE)[-1] for path in (plain, whole)]
  without, averaged = (line['validation/loss'] for line in lines)
  assert abs(without - averaged) > 1e-3 * without  # it is what validation sees

  train(settings(steps=0), str(later), start_from=str(whole))
  assert same(params(later, raw=True), params(whole, raw=True)) and same(params(later), params(later, raw=True))
