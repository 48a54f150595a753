"""What flows where in a stage: which pictures and which parameters each loss term depends on."""

import dataclasses

import jax
import numpy as np
import pytest

from edtalk_jax import stages
from edtalk_jax.config import MeshConfig, UserError
from edtalk_jax.stages.networks import Networks
from edtalk_jax.training import programs, sharding, trees
from tests import tiny


@pytest.fixture(scope='module')
def mouth_pose():
  config = tiny.config('mouth_pose')
  stage = stages.build(config)
  params, frozen = stage.init(jax.random.key(0)), stage.init_frozen()
  run = jax.jit(lambda batch: stage.model_losses(params['model'], params['discriminator'], frozen, batch))
  return config, run


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
  heavier = dataclasses.replace(config, loss=dataclasses.replace(config.loss, l1=3.0))
  stage = stages.build(heavier)
  params = stage.init(jax.random.key(0))
  arguments = (params['model'], params['discriminator'], stage.init_frozen(), tiny.batch(config, size=4))
  again, _ = jax.jit(stage.model_losses)(*arguments)
  np.testing.assert_allclose(again['self_l1'], 3 * terms['self_l1'], rtol=1e-5)
  np.testing.assert_allclose(again['self_perceptual'], terms['self_perceptual'], rtol=1e-5)


def test_the_ablation_takes_away_the_cross_reconstructions_and_nothing_else(mouth_pose):
  config, run = mouth_pose
  terms, _ = run(tiny.batch(config, size=4))
  stage = stages.build(dataclasses.replace(config, loss=dataclasses.replace(config.loss, cross=0.0)))
  params = stage.init(jax.random.key(0))
  arguments = (params['model'], params['discriminator'], stage.init_frozen(), tiny.batch(config, size=4))
  without, _ = jax.jit(stage.model_losses)(*arguments)
  for name, values in terms.items():
    np.testing.assert_allclose(without[name], 0 * values if name.startswith('cross') else values, rtol=1e-5)


def test_correlation_adds_one_term_that_moves_both_heads():
  config = tiny.config('mouth_pose')
  config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, correlation=2.0))
  stage = stages.build(config)
  params, frozen = stage.init(jax.random.key(0)), stage.init_frozen()

  def term(model):
    return jax.numpy.mean(
      stage.model_losses(model, params['discriminator'], frozen, tiny.batch(config, size=4))[0]['correlation']
    )

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


@pytest.mark.parametrize('name', ['reconstruction', 'mouth_pose', 'expression', 'personalize'])
def test_without_the_adversarial_term_there_is_no_discriminator(name):
  """Every term but that one stays as it is, and a whole step runs."""
  config = tiny.config(name)
  alone = dataclasses.replace(config, loss=dataclasses.replace(config.loss, adversarial=0.0))
  terms = {}
  for each in (config, alone):
    stage = stages.build(each)
    params = stage.init(jax.random.key(0))
    arguments = params['model'], params['discriminator'], stage.init_frozen(), tiny.batch(each, size=4)
    terms[each.loss.adversarial], images = jax.jit(stage.model_losses)(*arguments)
  assert params['discriminator'] == {} and stage.discriminator_losses({}, images) == {}
  assert (stage.judged_views, stage.logits) == ((), None)
  assert terms[1.0].pop('adversarial').shape == (4,)
  assert terms[1.0].keys() == terms[0.0].keys()
  for term, values in terms[1.0].items():
    np.testing.assert_allclose(values, terms[0.0][term], rtol=1e-5)

  mesh = sharding.make_mesh(MeshConfig(), jax.devices()[:1])
  parts = programs.build(alone, stage, mesh)
  with jax.set_mesh(mesh):
    state, metrics = parts.train(
      parts.init(jax.random.key(0)), parts.place_frozen(stage.init_frozen()), tiny.batch(alone)
    )
  assert state.step == 1 and np.isfinite(metrics['loss']) and 'discriminator_loss' not in metrics


def test_pictures_are_not_compared_in_ways_that_weigh_nothing():
  config = tiny.config('reconstruction')
  stage = stages.build(dataclasses.replace(config, loss=dataclasses.replace(config.loss, perceptual=0.0, l1=0.0)))
  params = jax.eval_shape(stage.init, jax.random.key(0))
  batch = tiny.batch(config, size=4)
  terms, _ = jax.eval_shape(stage.model_losses, params['model'], params['discriminator'], {}, batch)
  assert set(terms) == {'adversarial'}


@pytest.mark.parametrize('batch, calls', [(1, 1), (4, 2), (5, 1)])  # of 4, 16 and 20 pictures
def test_codes_come_in_halves_where_those_are_small_enough(batch, calls, monkeypatch):
  networks = Networks(tiny.config('mouth_pose'))
  model = networks.init(jax.random.key(0))['model']
  images = jax.random.uniform(jax.random.key(1), (batch, 4, 16, 16, 3), minval=-1)
  want, encode, seen = networks.encode(model, images)[0], networks.encode, []
  monkeypatch.setattr(networks, 'encode', lambda model, part: seen.append(part.shape[1]) or encode(model, part))
  np.testing.assert_allclose(networks.codes(model, images), want, atol=1e-5)
  assert seen == [4 // calls] * calls
