"""Whole runs on noise: files, resuming, hand-off between stages, and what users get wrong."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest

from edtalk_jax import stages
from edtalk_jax.config import CheckpointConfig, LogConfig, MeshConfig, UserError
from edtalk_jax.training import examples, hand_off, metrics, origin, run, sharding, trees
from tests import tiny


@pytest.fixture
def data(monkeypatch):
  """Replaces records and loader: batch t is noise that depends on t alone."""

  def make_loader(folder, *, split, start_step, batch_size, sampler, **_):
    step, current = start_step, tiny.config(sampler)
    while True:
      index = np.arange(step * batch_size, (step + 1) * batch_size)
      yield {'index': index, **tiny.batch(current, size=batch_size, seed=1000 * (split == 'val') + step)}
      step += 1

  monkeypatch.setattr(examples.loader, 'make_loader', make_loader)
  one_device = functools.partial(sharding.make_mesh, devices=jax.devices()[:1])
  monkeypatch.setattr(run.sharding, 'make_mesh', one_device)  # compiles in half the time; meshes have their own test
  monkeypatch.setattr(examples.records, 'splits', lambda folder: ('train', 'val'))
  monkeypatch.setattr(origin.records, 'fingerprint', lambda folder: f'digest of {folder}')
  return 'records'


def settings(stage='reconstruction', steps=4, **run_fields):
  config = tiny.config(stage)
  return dataclasses.replace(
    config,
    run=dataclasses.replace(config.run, steps=steps, **run_fields),
    log=LogConfig(every=1, samples_every=2, validate_batches=1),
    checkpoint=CheckpointConfig(every=2, keep=1),
  )


def lines(workdir):
  return [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]


def params(workdir, which='latest'):
  return trees.flatten(jax.device_get(hand_off.read_run(str(workdir), which).params))


def test_a_run_in_two_parts_equals_one_and_hands_over(data, tmp_path):
  said = []
  whole, parts, second = (tmp_path / name for name in ('whole', 'parts', 'second'))
  run.train(settings(), str(whole), data, say=said.append)
  assert any('seeded random VGG19' in line for line in said)
  assert [line['step'] for line in lines(whole) if 'loss' in line] == [1, 2, 3, 4]
  assert [line['example'] for line in lines(whole) if 'loss' in line] == [0, 8, 16, 24]
  assert [line['step'] for line in lines(whole) if 'validation/loss' in line] == [2, 4]
  assert sorted(path.name for path in (whole / 'samples').iterdir()) == ['0000002.png', '0000004.png']
  assert list((whole / 'tensorboard').iterdir())
  record = json.loads((whole / 'config.json').read_text())
  assert record['perceptual_features'] == 'seeded random VGG19'
  assert record['data']['fingerprint'] == 'digest of records'

  run.train(settings(steps=2), str(parts), data, say=said.append)
  with (parts / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 3, "loss": 9.0}\n{"step": 4, "lo')  # a kill after the checkpoint, in the middle of a line
  run.train(settings(steps=4), str(parts), data, say=said.append)
  assert 'resuming at step 2' in said
  assert [metrics.untimed(line) for line in lines(parts)] == [metrics.untimed(line) for line in lines(whole)]
  for path, array in params(whole).items():
    np.testing.assert_array_equal(params(parts)[path], array, err_msg=path)

  said.clear()
  run.train(settings(steps=4), str(parts), data, say=said.append)
  assert len(said) == 1 and 'the run is finished (4 steps)' in said[0]

  run.train(settings('mouth_pose', steps=2, train='navigation'), str(second), data, str(whole), say=said.append)
  report = next(line for line in said if 'arrays restored' in line)
  assert 'model/navigation/banks/mouth' in report and 'model/navigation/banks/motion' in report
  before, after = params(whole), params(second)
  same = [path for path in after if path in before and not path.startswith(('navigation/heads', 'navigation/banks'))]
  assert len(same) > 50
  for path in same:
    np.testing.assert_array_equal(after[path], before[path], err_msg=path)

  said.clear()
  third = tmp_path / 'third'
  run.train(settings('expression', steps=0), str(third), data, str(second), say=said.append)
  report = next(line for line in said if 'arrays restored' in line)
  assert 'model/generator/expression_8' in report and 'model/navigation/banks/expression' in report
  handed = params(third)
  for path, array in params(second).items():
    np.testing.assert_array_equal(handed[path], array, err_msg=path)
  alone = tmp_path / 'alone'  # without the EEM, which no earlier run has and which stays the identity
  run.train(settings('expression', steps=0, train='navigation'), str(alone), data, str(second), say=said.append)
  with pytest.raises(UserError, match=r'stage expression does not train model/navigation/\w+/mouth.* lacks them;'):
    run.train(settings('expression'), str(tmp_path / 'fourth'), data, str(whole))
  with pytest.raises(UserError, match=r'but there is no --from; give --from a run of mouth_pose'):
    run.train(settings('expression'), str(tmp_path / 'fourth'), data)

  with pytest.raises(UserError, match=r'holds a run with other settings \(optimizer.beta2: 0.99 there, 0.5 here\)'):
    other = dataclasses.replace(settings(), optimizer=dataclasses.replace(settings().optimizer, beta2=0.5))
    run.train(other, str(whole), data)
  with pytest.raises(UserError, match='data set: digest of records there, digest of others here'):
    run.train(settings(steps=9), str(whole), 'others')
  bigger = dataclasses.replace(settings('mouth_pose'), model=tiny.config(style_dim=64).model)
  with pytest.raises(UserError, match=r'its model has other sizes: .* arrays differ'):
    run.train(bigger, str(tmp_path / 'fourth'), data, str(whole), say=said.append)


def test_mistakes_leave_nothing_behind(data, tmp_path):
  with pytest.raises(UserError, match='no run here'):
    run.train(settings('mouth_pose'), str(tmp_path / 'new'), data, str(tmp_path / 'absent'))
  with pytest.raises(UserError, match=r'data\.batch_size=8 must be a multiple|mesh\.data=3'):
    run.train(dataclasses.replace(settings(), mesh=MeshConfig(data=3)), str(tmp_path / 'new'), data)
  missing = dataclasses.replace(
    settings(), perceptual=dataclasses.replace(settings().perceptual, width=1.0, weights='absent.npz')
  )
  with pytest.raises(UserError, match=r'perceptual\.weights=absent\.npz: No such file'):
    run.train(missing, str(tmp_path / 'new'), data)
  for name, value in (('xla_speed', '2'), ('xla_cpu_enable_fast_math', 'maybe')):
    refused = dataclasses.replace(settings(), run=dataclasses.replace(settings().run, compiler=((name, value),)))
    with pytest.raises(UserError, match=f'run\\.compiler: .*{name}'):
      run.train(refused, str(tmp_path / 'new'), data)
  assert not (tmp_path / 'new').exists()
  with pytest.raises(UserError, match='no run here'):
    hand_off.read_run(str(tmp_path))


def test_a_run_of_no_steps_keeps_its_first_state(data, tmp_path):
  run.train(settings(steps=0), str(tmp_path), data, say=[].append)
  drawn = stages.build(settings()).init(jax.random.key(settings().run.seed))['model']
  kept = params(tmp_path)
  assert hand_off.read_run(str(tmp_path)).step == 0
  for path, array in trees.flatten(drawn).items():
    np.testing.assert_allclose(kept[path], array, rtol=1e-5, err_msg=path)  # drawn by another program here


def test_what_only_training_needs_is_kept_for_it_and_for_nobody_else(data, tmp_path):
  """The population of stage expression is in its checkpoints, counts every driver, and is not read for inference."""
  first, second = (tmp_path / name for name in ('first', 'second'))
  run.train(settings('mouth_pose', steps=0), str(first), data, say=[].append)
  config = settings('expression', steps=2)
  config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, correlation=1.0))
  run.train(config, str(second), data, str(first), say=[].append)
  opened = hand_off.open_run(str(second))
  kept = hand_off.read_part(opened, 'model')['population']
  assert kept['count'] == 2 * config.data.batch_size and np.any(kept['covariance'])
  assert not any(path.startswith('population/') for path in params(second))
