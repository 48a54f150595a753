"""Whole runs on rendered heads: files, resuming, hand-off between stages, and what users get wrong."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipeline import records
from data_pipeline.datasets import synthetic
from data_pipeline.synthetic.clip import Plan
from edtalk_jax.config import CheckpointConfig, LogConfig, MeshConfig, UserError
from edtalk_jax.training import checkpoint, hand_off, metrics, record, trees
from edtalk_jax.training import train as training
from tests import tiny
from tests.faults import toy


@pytest.fixture
def train(heads):
  """`train` on one device, which compiles in half the time: meshes have their own tests."""
  return functools.partial(training.train, data=str(heads), say=lambda line: None, devices=jax.devices()[:1])


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


def toy_settings(steps=4, **checkpoint):
  return dataclasses.replace(
    toy.CONFIG,
    run=dataclasses.replace(toy.CONFIG.run, steps=steps),
    log=LogConfig(every=1, samples_every=0, validate_batches=1),
    checkpoint=CheckpointConfig(**{'every': 2, 'keep': 1, **checkpoint}),
  )


def test_a_run_in_two_parts_equals_one(train, heads, tmp_path):
  said = []
  whole, parts = tmp_path / 'whole', tmp_path / 'parts'
  train(toy_settings(), str(whole), say=said.append)
  assert [line['step'] for line in lines(whole) if 'loss' in line] == [1, 2, 3, 4]
  assert [line['example'] for line in lines(whole) if 'loss' in line] == [0, 8, 16, 24]
  assert [line['step'] for line in lines(whole) if 'validation/loss' in line] == [2, 4]
  assert list((whole / 'tensorboard').iterdir())
  written = json.loads((whole / 'config.json').read_text())
  assert written['data'] == {'path': str(heads), 'fingerprint': records.fingerprint(heads)}

  train(toy_settings(steps=2), str(parts), say=said.append)
  with (parts / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 3, "loss": 9.0}\n{"step": 4, "lo')  # a kill after the checkpoint, in the middle of a line
  train(toy_settings(), str(parts), say=said.append)
  assert 'resuming at step 2' in said
  assert [metrics.untimed(line) for line in lines(parts)] == [metrics.untimed(line) for line in lines(whole)]
  for path, array in params(whole).items():
    np.testing.assert_array_equal(params(parts)[path], array, err_msg=path)


def test_a_finished_run_is_not_trained_again(train, tmp_path):
  said = []
  config = toy_settings(steps=20, every=1, patience=1)
  stuck = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, learning_rate=1e4))  # diverges
  train(stuck, str(tmp_path), say=said.append)
  stopped = next(line for line in said if '(checkpoint.patience); the run ends here' in line)
  at = int(stopped.split(':')[0].removeprefix('step '))
  assert at < 20 and said[-1].startswith(f'finished {at} steps of stage toy')

  said.clear()
  train(stuck, str(tmp_path), say=said.append)
  assert len(said) == 1 and f'the run is finished ({at} steps): no lower validation loss' in said[0]

  said.clear()
  train(dataclasses.replace(stuck, run=dataclasses.replace(stuck.run, steps=at)), str(tmp_path), say=said.append)
  assert len(said) == 1 and f'the run is finished ({at} steps); raise run.steps' in said[0]


def test_a_run_is_resumed_with_its_own_settings_and_records_only(train, tmp_path):
  train(toy_settings(), str(tmp_path / 'run'))
  other = dataclasses.replace(toy_settings(), optimizer=dataclasses.replace(toy.CONFIG.optimizer, beta2=0.5))
  with pytest.raises(UserError, match=r'holds a run with other settings \(optimizer.beta2: 0.99 there, 0.5 here\)'):
    train(other, str(tmp_path / 'run'))
  others = tmp_path / 'others'
  synthetic.make(Plan(clips=3, size=32, seed=1, people=3, frames=5), str(others), workers=0)
  with pytest.raises(UserError, match=r'data set: \w+ there, \w+ here'):
    train(toy_settings(steps=9), str(tmp_path / 'run'), data=str(others))


@pytest.mark.integration
def test_stages_start_from_the_parameters_of_earlier_ones(train, tmp_path):
  said = []
  whole, second, third = (str(tmp_path / name) for name in ('whole', 'second', 'third'))
  train(settings(steps=1), whole, say=said.append)
  assert any('seeded random VGG19' in line for line in said)
  assert json.loads((tmp_path / 'whole/config.json').read_text())['perceptual_features'] == 'seeded random VGG19'
  grids = tmp_path / 'whole' / 'samples'
  assert sorted(path.name for path in grids.iterdir()) == ['0000001.png']

  train(settings('mouth_pose', steps=0, train='navigation'), second, start_from=whole, say=said.append)
  report = next(line for line in said if 'arrays restored' in line)
  assert 'model/navigation/banks/mouth' in report and 'model/navigation/banks/motion' in report
  before, after = params(tmp_path / 'whole'), params(tmp_path / 'second')
  same = [path for path in after if path in before]
  assert len(same) > 50
  for path in same:
    np.testing.assert_array_equal(after[path], before[path], err_msg=path)

  said.clear()
  train(settings('expression', steps=0), third, start_from=second, say=said.append)
  report = next(line for line in said if 'arrays restored' in line)
  assert 'model/generator/expression_8' in report and 'model/navigation/banks/expression' in report
  handed = params(tmp_path / 'third')
  for path, array in after.items():
    np.testing.assert_array_equal(handed[path], array, err_msg=path)
  alone = str(tmp_path / 'alone')  # without the EEM, which no earlier run has and which stays the identity
  train(settings('expression', steps=0, train='navigation'), alone, start_from=second)
  fourth = str(tmp_path / 'fourth')
  with pytest.raises(UserError, match=r'stage expression does not train model/navigation/\w+/mouth.* lacks them;'):
    train(settings('expression'), fourth, start_from=whole)
  with pytest.raises(UserError, match=r'but there is no --from; give --from a run of mouth_pose'):
    train(settings('expression'), fourth)
  bigger = dataclasses.replace(settings('mouth_pose'), model=tiny.config(style_dim=64).model)
  with pytest.raises(UserError, match=r'its model has other sizes: .* arrays differ'):
    train(bigger, fourth, start_from=whole)


def test_mistakes_leave_nothing_behind(train, tmp_path):
  with pytest.raises(UserError, match='no run here'):
    train(settings('mouth_pose'), str(tmp_path / 'new'), start_from=str(tmp_path / 'absent'))
  with pytest.raises(UserError, match=r'data\.batch_size=8 must be a multiple|mesh\.data=3'):
    train(dataclasses.replace(settings(), mesh=MeshConfig(data=3)), str(tmp_path / 'new'))
  missing = dataclasses.replace(
    settings(), perceptual=dataclasses.replace(settings().perceptual, width=1.0, weights='absent.npz')
  )
  with pytest.raises(UserError, match=r'perceptual\.weights=absent\.npz: No such file'):
    train(missing, str(tmp_path / 'new'))
  for name, value in (('xla_speed', '2'), ('xla_cpu_enable_fast_math', 'maybe')):
    refused = dataclasses.replace(settings(), run=dataclasses.replace(settings().run, compiler=((name, value),)))
    with pytest.raises(UserError, match=f'run\\.compiler: .*{name}'):
      train(refused, str(tmp_path / 'new'))
  with pytest.raises(UserError, match=r'run\.stage=mouth: expected one of reconstruction, mouth_pose, expression, '):
    train(settings('mouth'), str(tmp_path / 'new'))
  assert not (tmp_path / 'new').exists()
  with pytest.raises(UserError, match='no run here'):
    hand_off.read_run(str(tmp_path))


def test_a_run_of_no_steps_keeps_its_first_state(train, tmp_path):
  train(toy_settings(steps=0), str(tmp_path))
  assert hand_off.read_run(str(tmp_path)).step == 0
  drawn, kept = toy.stage().init(jax.random.key(toy.CONFIG.run.seed))['model'], params(tmp_path)
  for path, array in trees.flatten(drawn).items():
    np.testing.assert_allclose(kept[path], array, rtol=1e-6, err_msg=path)  # drawn by another program here
  assert [line['step'] for line in lines(tmp_path)] == [0]  # its validation


@pytest.mark.release
def test_what_only_training_needs_is_kept_for_it_and_for_nobody_else(train, tmp_path):
  """The population of stage expression is in its checkpoints, counts every driver, and is not read for inference."""
  first, second = (tmp_path / name for name in ('first', 'second'))
  train(settings('mouth_pose', steps=0), str(first))
  config = settings('expression', steps=2)
  config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, correlation=1.0))
  train(config, str(second), start_from=str(first))
  opened = hand_off.open_run(str(second))
  kept = hand_off.read_part(opened, 'model')['population']
  assert kept['count'] == 2 * config.data.batch_size and np.any(kept['covariance'])
  assert not any(path.startswith('population/') for path in params(second))


def test_the_population_is_not_read_for_inference(tmp_path):
  content = record.describe(tiny.config('expression'), {'stage': 'expression'})
  record.write(tmp_path, content)
  model = {'encoder': {'bias': jnp.zeros(1)}, 'population': {'count': jnp.ones(())}}
  checkpoint.write(tmp_path, content, {'model': model})
  assert [*hand_off.read_run(str(tmp_path)).params] == ['encoder']
