"""The expression stage: where it begins, what it trains, what its optional terms are."""

import dataclasses
import pathlib
import re

import jax
import numpy as np
import pytest

from edtalk_jax import stages
from edtalk_jax.config import FeaturesConfig, UserError
from edtalk_jax.networks import EDTalk, directions
from edtalk_jax.stages import losses
from edtalk_jax.training import trees
from tests import compiled, tiny

FEATURES = pathlib.Path(__file__).with_name('my_features.py')
TRAINED = re.compile('navigation/heads/expression/|navigation/banks/expression$|generator/expression_')
MOVED = re.compile('population/')


def settings():
  config = tiny.config('expression')
  features = FeaturesConfig(emotion=f'{FEATURES}:emotion', identity=f'{FEATURES}:identity')
  return dataclasses.replace(config, features=features, loss=dataclasses.replace(config.loss, correlation=1.0))


def basis(config, model):
  return np.asarray(EDTalk(stages.model_config(config)).apply({'params': model}, method='basis'))


@pytest.fixture(scope='module')
def trained():
  """The parameters before and after three steps, with every optional term, and what the last step said."""
  config = settings()
  parts = compiled.on_one_device(config)
  with jax.set_mesh(parts.mesh):
    frozen = parts.place_frozen(compiled.frozen(config))
    state = parts.init(jax.random.key(0))
    before = jax.device_get(state.model)
    for step in range(3):
      state, metrics = parts.train(state, frozen, tiny.batch(config, seed=step))
    images = parts.images(state.model, state.discriminator, frozen, tiny.batch(config))
  return config, before, jax.device_get(state.model), jax.device_get(metrics), jax.device_get(images)


@pytest.mark.integration
def test_frozen_means_bit_equal_and_all_else_moves(trained):
  _, before, after, _, _ = trained
  before, after = trees.flatten(before), trees.flatten(after)
  for path, array in after.items():
    assert np.array_equal(array, before[path]) != bool(TRAINED.search(path) or MOVED.search(path)), path


def test_mouth_and_pose_directions_stay_while_the_expression_is_orthogonal_to_them(trained):
  config, before, after, _, _ = trained
  q, moved = basis(config, before), basis(config, after)
  np.testing.assert_array_equal(moved[:, :7], q[:, :7])
  assert np.abs(moved[:, 7:] - q[:, 7:]).max() > 1e-4
  np.testing.assert_allclose(moved.T @ moved, np.eye(17), atol=1e-6)


def test_every_term_is_there_and_the_expression_reaches_the_picture(trained):
  _, _, _, metrics, images = trained
  assert {'l1', 'perceptual', 'adversarial', 'emotion', 'identity', 'correlation'} < set(metrics)
  assert metrics['emotion'] > 0 and metrics['identity'] > 0 and metrics['correlation'] > 0
  assert np.abs(images['fake'] - images['without_expression']).max() > 1e-3


def test_it_begins_where_mouth_pose_ended():
  """With EEM and an expression bank, fresh, the picture is the one of a mouth_pose model with the same parameters."""
  config = tiny.config('expression')
  params = compiled.params(config)
  batch = tiny.batch(config, size=2)
  _, images = compiled.losses(config)(batch)

  older = EDTalk(config.model)  # with the banks mouth and pose, without EEM

  def animate(model):
    source, target = (losses.to_unit_range(batch[name]) for name in ('source', 'target'))
    code, features = older.apply({'params': model}, source, method='encode')
    driver, _ = older.apply({'params': model}, target, method='encode')
    weights = older.apply({'params': model}, driver, method='motion')
    shifts = directions(weights, older.apply({'params': model}, method='basis'), config.model)
    return older.apply({'params': model}, code + sum(shifts.values()), features, method='decode')

  # Other fusion of the same operations; the expression's zeros are exact.
  np.testing.assert_allclose(images['fake'][:, 0], jax.jit(animate)(params['model']), atol=1e-5)


def test_navigation_alone_leaves_the_module_out_of_training():
  config = tiny.config('expression')
  stage = stages.build(dataclasses.replace(config, run=dataclasses.replace(config.run, train='navigation')))
  chosen, _ = trees.split(jax.eval_shape(stage.init, jax.random.key(0))['model'], stage.trainable)
  assert {path.split('/')[0] for path in chosen} == {'navigation'}
  assert {path.split('/')[2] for path in chosen} == {'expression'}


def test_one_model_serves_all_stages():
  """The stage before leaves out what this one adds, whatever the configuration has."""
  banks = (('mouth', 4), ('pose', 3), ('eye', 2), ('expression', 5))
  config = tiny.config('expression', banks=banks, expression_module=True)
  assert stages.model_config(config).banks == banks
  before = dataclasses.replace(config, run=dataclasses.replace(config.run, stage='mouth_pose'))
  assert stages.model_config(before).banks == banks[:3] and not stages.model_config(before).expression_module
  for stage in (before, config):  # it would drive pictures as it was drawn
    with pytest.raises(UserError, match='no stage trains eye; expected mouth, pose, expression'):
      stages.build(stage)


def test_a_bank_behind_the_expression_is_refused():
  banks = (('mouth', 4), ('expression', 2), ('pose', 3))
  with pytest.raises(UserError, match="needs 'expression' as the last bank"):
    stages.build(tiny.config('expression', banks=banks))


@pytest.mark.parametrize(
  ('spec', 'message'),
  [
    ('absent.py:emotion', 'no such file'),
    (f'{FEATURES}:absent', 'AttributeError: .* expected a function that returns'),
    (f'{FEATURES}:nothing', 'TypeError: .* expected a function that returns'),
    (f'{FEATURES}:image_shaped', r'expected features \[2, n\] of 2 images, got \[2, 16, 16, 3\]'),
  ],
)
def test_feature_networks_that_are_none_are_one_line(spec, message):
  config = dataclasses.replace(tiny.config('expression'), features=FeaturesConfig(emotion=spec))
  with pytest.raises(UserError, match=message) as caught:
    stage = stages.build(config)
    params = jax.eval_shape(stage.init, jax.random.key(0))
    frozen = {'perceptual': jax.eval_shape(lambda: stage.init_frozen()['perceptual']), 'emotion': None}
    jax.eval_shape(stage.model_losses, params['model'], params['discriminator'], frozen, tiny.batch(config, size=2))
  assert '\n' not in str(caught.value)
