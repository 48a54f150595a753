"""What flows where in a stage: which pictures and which parameters each loss term depends on."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from edtalk_jax import stages
from edtalk_jax.config import UserError
from edtalk_jax.stages.networks import Networks
from edtalk_jax.training import guards, trees
from tests import compiled, tiny


@pytest.fixture(scope='module')
def mouth_pose():
  config = tiny.config('mouth_pose')
  return config, compiled.losses(config)


def changed(first, second):
  """The views of `reconstruction` that differ in any example."""
  return [view for view in range(4) if np.max(np.abs(first[:, view] - second[:, view])) > 1e-6]


@pytest.mark.parametrize(
  ('field', 'views'),
  [
    ('source_a', [0, 2]),
    ('source_b', [1, 3]),
    ('target_a', [0]),
    ('target_b', [1]),
    ('target_a_mouth_b', [2, 3]),  # a's pose for a crossed, b's mouth for b crossed
    ('target_b_mouth_a', [2, 3]),
  ],
)
def test_each_picture_reaches_just_the_outputs_it_should(mouth_pose, field, views):
  config, run = mouth_pose
  batch = tiny.batch(config, size=4)
  other = {**batch, field: tiny.batch(config, size=4, seed=1)[field]}
  assert changed(run(batch)[1]['reconstruction'], run(other)[1]['reconstruction']) == views


def test_unswapped_frames_make_cross_equal_self(mouth_pose):
  """If the swapped frames carry their own mouths, the crossed faces must be the plain ones and the spaces agree."""
  config, run = mouth_pose
  batch = tiny.batch(config, size=4)
  batch['target_a_mouth_b'] = batch['target_b_mouth_a'] = batch['target_b'] = batch['target_a']
  terms, images = run(batch)
  np.testing.assert_allclose(images['reconstruction'][:, 2:], images['reconstruction'][:, :2], atol=1e-5)
  np.testing.assert_allclose(terms['cross_l1'], terms['self_l1'], rtol=1e-5)
  # Two views with cosine one, times the reference's batch of four.
  np.testing.assert_allclose(terms['mouth_space'], np.full(4, 4 * 2 / np.e), rtol=1e-5)


def test_terms_are_per_example_and_weighted(mouth_pose):
  config, run = mouth_pose
  terms, _ = run(tiny.batch(config, size=4))
  assert {name: value.shape for name, value in terms.items()} == dict.fromkeys(terms, (4,))
  assert set(terms) == {
    'self_l1',
    'self_perceptual',
    'cross_l1',
    'cross_perceptual',
    'adversarial',
    'mouth_space',
    'pose_space',
  }
  again, _ = run(tiny.batch(config, size=4), l1=3.0)
  for name, values in terms.items():
    heavier = 3 * values if name.endswith('_l1') else values
    np.testing.assert_allclose(again[name], heavier, rtol=1e-5, err_msg=name)


def test_the_ablation_takes_away_the_cross_reconstructions_and_nothing_else(mouth_pose):
  config, run = mouth_pose
  terms, _ = run(tiny.batch(config, size=4))
  without, _ = run(tiny.batch(config, size=4), cross=0.0)
  for name, values in terms.items():
    np.testing.assert_allclose(without[name], 0 * values if name.startswith('cross') else values, rtol=1e-5)


def test_correlation_adds_one_term_that_moves_both_heads():
  config = tiny.config('mouth_pose')
  config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, correlation=2.0))
  stage, params = compiled.stage(config), compiled.params(config)

  def term(model):
    arguments = params['discriminator'], compiled.frozen(config), tiny.batch(config, size=4)
    return jax.numpy.mean(stage.model_losses(model, *arguments)[0]['correlation'])

  value, gradient = jax.jit(jax.value_and_grad(term))(params['model'])
  assert 0 < value < 2 * (6 + 20)  # at most every weight of either space, read perfectly
  heads = gradient['navigation']['heads']
  assert all(np.any(leaf) for name in ('mouth', 'pose') for leaf in jax.tree.leaves(heads[name]))
  assert not np.any(jax.tree.leaves(gradient['generator'])[0])


def test_navigation_only_freezes_the_rest():
  config = tiny.config('mouth_pose')
  stage = stages.build(dataclasses.replace(config, run=dataclasses.replace(config.run, train='navigation')))
  model = jax.eval_shape(stage.init, jax.random.key(0))['model']
  chosen, fixed = trees.split(model, stage.trainable)
  assert {path.split('/')[1] for path in chosen} == {'heads', 'banks'}
  assert {path.split('/')[0] for path in fixed} == {'encoder', 'generator', 'navigation'}


def test_reconstruction_has_one_motion_bank_whatever_the_model_says():
  config = tiny.config('reconstruction')
  model = stages.model_config(config)
  assert model.banks == (('motion', 20),) and model.head_layers == 1
  params = jax.eval_shape(stages.build(config).init, jax.random.key(0))['model']
  assert list(params['navigation']['banks']) == ['motion']


def test_mouth_pose_without_its_banks_is_one_clear_line():
  with pytest.raises(UserError, match="needs banks named 'mouth' and 'pose'"):
    stages.build(tiny.config('mouth_pose', banks=(('mouth', 4),)))


@pytest.mark.parametrize(
  'name',
  [
    'mouth_pose',
    *(pytest.param(n, marks=pytest.mark.release) for n in ('reconstruction', 'expression', 'personalize')),
  ],
)
def test_without_the_adversarial_term_there_is_no_discriminator(name):
  """Every term but that one stays as it is, and a whole step runs."""
  config = tiny.config(name)
  alone = dataclasses.replace(config, loss=dataclasses.replace(config.loss, adversarial=0.0))
  batch, frozen = tiny.batch(config, size=4), compiled.frozen(config)
  whole, stage = compiled.stage(config), compiled.stage(alone)
  params = compiled.params(config)

  @jax.jit  # as one program, since nearly all of both is the same
  def both(params, batch):
    one, other = (each.model_losses(params['model'], params['discriminator'], frozen, batch) for each in (whole, stage))
    return one[0], *other

  terms, without, images = both(params, batch)
  assert jax.eval_shape(stage.init, jax.random.key(0))['discriminator'] == {}
  assert stage.discriminator_losses({}, images) == {}
  assert (stage.judged_views, stage.logits) == ((), None) and whole.logits is not None
  assert terms.pop('adversarial').shape == (4,)
  assert terms.keys() == without.keys()
  for term, values in terms.items():
    np.testing.assert_allclose(values, without[term], rtol=1e-5)

  built = compiled.on_one_device(alone)
  with jax.set_mesh(built.mesh):
    state, metrics = jax.eval_shape(built.train, built.shapes, frozen, batch)
  assert state.discriminator == {} and metrics.keys() == {*terms, 'loss', 'grad_norm/model', *guards.SKIPS}


@pytest.mark.integration
def test_a_step_without_a_discriminator_runs():
  config = tiny.config('reconstruction')
  config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, adversarial=0.0))
  built = compiled.on_one_device(config)
  with jax.set_mesh(built.mesh):
    state = built.init(jax.random.key(0))
    state, metrics = built.train(state, built.place_frozen(compiled.frozen(config)), tiny.batch(config))
  assert state.step == 1 and np.isfinite(metrics['loss']) and metrics['guard/skipped'] == 0


def test_pictures_are_not_compared_in_ways_that_weigh_nothing():
  config = tiny.config('reconstruction')
  stage = stages.build(dataclasses.replace(config, loss=dataclasses.replace(config.loss, perceptual=0.0, l1=0.0)))
  params = jax.eval_shape(stage.init, jax.random.key(0))
  batch = tiny.batch(config, size=4)
  terms, _ = jax.eval_shape(stage.model_losses, params['model'], params['discriminator'], {}, batch)
  assert set(terms) == {'adversarial'}


def encoded_together(networks, model, images):
  """Numbers of pictures that the program of `Networks.codes` encodes together."""
  program = str(jax.make_jaxpr(networks.codes)(model, images))
  style_dim = networks.config.model.style_dim
  return {int(count) for count in re.findall(rf':f32\[(\d+),1,1,{style_dim}\] = conv_general_dilated', program)}


@pytest.mark.parametrize('batch, calls', [(1, 1), (4, 2), (5, 1)])  # of 4, 16 and 20 pictures
def test_codes_come_in_halves_where_those_are_small_enough(batch, calls):
  networks = Networks(tiny.config('mouth_pose'))
  model = compiled.params(tiny.config('mouth_pose'))['model']
  images = jax.random.uniform(jax.random.key(1), (batch, 4, 16, 16, 3), minval=-1)
  assert encoded_together(networks, model, images) == {4 * batch // calls}


def test_codes_in_halves_are_those_of_all():
  networks = Networks(tiny.config('mouth_pose'))
  model = compiled.params(tiny.config('mouth_pose'))['model']
  images = jax.random.uniform(jax.random.key(1), (4, 4, 16, 16, 3), minval=-1)
  whole = jax.jit(lambda *arguments: networks.encode(*arguments)[0])(model, images)
  np.testing.assert_allclose(jax.jit(networks.codes)(model, images), whole, atol=1e-5)
