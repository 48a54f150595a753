"""The benchmarks run, on models of seconds; what they measure is not looked at."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import animate, generate, harness, prepare, step, torch_weights, weak_scaling
from edtalk_jax import stages
from edtalk_jax.config import Config, ModelConfig, PerceptualConfig
from edtalk_jax.model import Model
from edtalk_jax.networks import VGG19, Discriminator, EDTalk
from tests import tiny
from tests.animation.fakes import SIZE, FakeModel
from tests.data_pipeline import videos
from tests.faults import toy


@pytest.fixture
def toy_stage(monkeypatch):
  """Whatever a configuration says, its stage is the toy."""
  monkeypatch.setitem(stages.STAGES, 'reconstruction', toy)


def printed(capsys):
  return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_turns_are_taken_in_every_order():
  calls = []
  found = harness.in_turns({name: lambda name=name: calls.append(name) for name in 'abc'}, 3)
  assert ''.join(calls) == 'abc' + 'abc' + 'bca' + 'cab'
  assert all(seconds.wall.shape == seconds.processor.shape == (3,) for seconds in found.values())


@pytest.mark.integration
def test_step(toy_stage, capsys):
  step.main(config='tests/faults/toy_train.py', stage=('reconstruction',), batch=(8, 16), steps=2, repeats=1)
  rows = printed(capsys)['rows']
  assert [row['batch'] for row in rows] == [8, 16] and all(row['examples/s'] > 0 for row in rows)
  assert rows[0]['gflop/example'] == rows[1]['gflop/example'] > 0 and rows[0]['memory_gib'] > 0
  assert 'mfu' not in rows[0]  # the peak of CPUs is not in the table


@pytest.mark.integration
def test_weak_scaling(toy_stage, capsys, monkeypatch):
  monkeypatch.setenv('XLA_FLAGS', '')  # put back afterwards; JAX has started long ago
  weak_scaling.main(config='tests/faults/toy_train.py', batch=4, devices=(1, 2), rounds=1)
  found = printed(capsys)
  assert found['virtual'] and [row['batch'] for row in found['rows']] == [4, 8]
  assert 'efficiency' not in found['rows'][0]


@pytest.mark.integration
def test_generate():
  model = tiny.config().model
  image = jnp.zeros((1, model.image_size, model.image_size, 3))
  params = jax.jit(EDTalk(model).init)(jax.random.key(0), image, image)['params']
  config = Config(model=model, perceptual=PerceptualConfig(scales=()))
  row = generate.measure(Model(config, params, batch_size=2), calls=2, repeats=1)
  assert row['frames/s'] > 0 and row['device'] > 0 and row['gflop/frame'] > 0


@pytest.mark.integration
def test_the_pytorch_side_gets_every_parameter_once():
  """Numbered through, so that an array that is forgotten, doubled or cut is missed."""
  config, size = ModelConfig(image_size=32), 32
  image = jnp.zeros((1, size, size, 3))
  shapes = {
    'model': jax.eval_shape(EDTalk(config).init, jax.random.key(0), image, image)['params'],
    'discriminator': jax.eval_shape(Discriminator(config).init, jax.random.key(0), image)['params'],
    'vgg': jax.eval_shape(VGG19().init, jax.random.key(0), image)['params'],
  }
  for name, convert in (
    ('model', lambda params: torch_weights.model(params, size)),
    ('discriminator', lambda params: torch_weights.discriminator(params, size)),
    ('vgg', torch_weights.perceptual),
  ):
    leaves, tree = jax.tree.flatten(shapes[name])
    ids = jax.tree.unflatten(tree, [np.full(leaf.shape, number) for number, leaf in enumerate(leaves)])
    counts = np.bincount(np.concatenate([array.ravel() for array in convert(ids).values()]), minlength=len(leaves))
    np.testing.assert_array_equal(counts, [leaf.size for leaf in leaves], err_msg=name)


@pytest.mark.parametrize('drive', ['sound', 'video'])
def test_animate(monkeypatch, tmp_path, drive):
  monkeypatch.setattr(animate, 'fresh', lambda size, batch, tiny: FakeModel(batch_size=batch))
  row = animate.measure(str(tmp_path), 1.0, SIZE, 4, True, drive, began=0.0)
  assert row['frames'] == 25 and row['frames/s'] > 0 and row['memory_mib'] > 0


def test_the_plan_of_a_preparation_follows_from_what_was_measured(tmp_path, capsys):
  rates = [prepare.Rate('a', '', frames=900, clips=8, seconds=10, stored=18_000_000)]
  # 400 h are 36 million frames; 90 a second of a core are 111 core-hours; 20 kB a frame are 0.72 TB.
  assert prepare.plan(rates, 400) == (
    '400 h: 36.0 million frames, 111 core-hours (1.7 h of 64 cores), 0.72 TB of records and as much of cache'
  )
  videos.write(tmp_path / 'a.mp4', 30)
  assert prepare.main([str(tmp_path), '--seconds', '1', '--hours', '1']) == 0
  line, plan = capsys.readouterr().out.splitlines()
  assert line.startswith('a.mp4 (96x96, 25 fps, landmarks given): 25 frames, 1 clips in ') and plan.startswith('1 h: ')
