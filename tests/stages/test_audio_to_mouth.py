"""Sound to mouth: what trains, what is frozen to the last bit, and what each term is."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import stages
from edtalk_jax.config import AudioConfig, UserError
from edtalk_jax.networks.audio import AudioToMouth
from edtalk_jax.stages import audio_to_mouth
from edtalk_jax.stages.stage import MOVED
from edtalk_jax.training import sharding, trees
from edtalk_jax.weights import to_official
from tests import compiled, tiny

TERMS = {'weights', 'smooth', 'l1', 'perceptual', 'adversarial', 'face_l1', 'sync'}


def settings(**audio):
  config = tiny.config('audio_to_mouth')
  return dataclasses.replace(config, audio=dataclasses.replace(config.audio, **audio))


def training(config, train):
  return dataclasses.replace(config, run=dataclasses.replace(config.run, train=train))


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """State before and after two steps with every term, and the metrics of the second. The sync expert is as drawn."""
  config = settings(sync_expert=str(tmp_path_factory.mktemp('expert')))
  parts = compiled.on_one_device(config)
  with jax.set_mesh(parts.mesh):
    frozen = parts.place_frozen(compiled.frozen(config))
    state = parts.init(jax.random.key(0))
    before = jax.device_get(state)
    for step in range(2):
      state, metrics = parts.train(state, frozen, tiny.batch(config, seed=step))
  return before, jax.device_get(state), jax.device_get(metrics)


@pytest.mark.integration
def test_the_audio_network_trains_and_its_statistics_move_and_all_else_is_frozen(trained):
  before, after = (trees.flatten(state.model) for state in trained[:2])
  for path, array in after.items():
    assert np.array_equal(array, before[path]) != path.startswith('audio/'), path


def test_the_discriminator_really_trains(trained):
  before, after, metrics = trained
  old, new = (trees.flatten(state.discriminator) for state in (before, after))
  assert not any(np.array_equal(new[path], old[path]) for path in old)
  assert metrics['discriminator_loss'] > 0 and metrics['grad_norm/discriminator'] > 0


def test_every_term_is_there(trained):
  metrics = trained[2]
  assert set(metrics) > TERMS and all(metrics[name] > 0 for name in TERMS)
  np.testing.assert_allclose(sum(metrics[name] for name in TERMS), metrics['loss'], rtol=1e-5)


def test_a_frozen_encoder_has_frozen_statistics():
  """The official trainer moves them."""
  config = training(settings(), 'mapping')
  stage = stages.build(config)
  params = jax.eval_shape(stage.init, jax.random.key(0))
  chosen, _ = trees.split(params['model'], stage.trainable)
  assert set(chosen) == {'audio/params/mapping/kernel', 'audio/params/mapping/bias'}
  frozen = jax.eval_shape(stage.init_frozen)
  _, images = jax.eval_shape(stage.model_losses, params['model'], params['discriminator'], frozen, tiny.batch(config))
  assert stage.moving == '' and images[MOVED] == {} and stage.over_batch == ''


def test_without_the_adversarial_term_there_is_no_discriminator():
  config = settings()
  stage = stages.build(dataclasses.replace(config, loss=dataclasses.replace(config.loss, adversarial=0.0)))
  params = jax.eval_shape(stage.init, jax.random.key(0))
  assert params['discriminator'] == {}
  frozen = jax.eval_shape(stage.init_frozen)
  terms, images = jax.eval_shape(stage.model_losses, params['model'], {}, frozen, tiny.batch(config))
  assert set(terms) == TERMS - {'adversarial', 'sync'}
  assert stage.discriminator_losses({}, images) == {}


def test_weights_alone_need_no_pictures_and_no_vgg():
  config = settings()
  off = dataclasses.replace(config.loss, l1=0.0, perceptual=0.0, adversarial=0.0, face_l1=0.0)
  stage = stages.build(dataclasses.replace(config, loss=off))
  assert not stage.perceptual and stage.init_frozen() == {}
  params = jax.eval_shape(stage.init, jax.random.key(0))
  terms, _ = jax.eval_shape(stage.model_losses, params['model'], {}, {}, tiny.batch(config))
  assert set(terms) == {'weights', 'smooth'}


def test_weights_and_their_steps_by_hand():
  """Off by 0, 1, 2, 3, 4 in the five frames: squares of 6 on average, and steps of one."""
  config = settings()
  networks = audio_to_mouth.Networks(config)
  off = jnp.arange(5.0)[None, :, None] * jnp.ones((2, 5, 4))
  picture = jnp.zeros((2, 5, 16, 16, 3))
  config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, adversarial=0.0))
  networks.config = config
  networks.perceptual.distances = lambda params, fake, real: jnp.zeros((2, 1))
  boxes = jnp.broadcast_to(jnp.array([2.0, 3.0, 14.0, 15.0]), (2, 5, 4))
  found = audio_to_mouth.terms(
    off + 7,
    jnp.full(off.shape, 7.0),
    picture + 0.5,
    picture,
    None,
    {'perceptual': None},
    {'boxes': boxes},
    networks,
    None,
  )
  np.testing.assert_allclose(found['weights'], [6, 6])
  np.testing.assert_allclose(found['smooth'], [0.1, 0.1], rtol=1e-6)
  np.testing.assert_allclose(found['l1'], [0.5, 0.5], rtol=1e-6)
  np.testing.assert_allclose(found['face_l1'], [0.5, 0.5], rtol=1e-6)


def test_a_released_encoder_is_taken_over_whole_or_but_for_its_mapping(tmp_path):
  """Audio2Lip's file has the mapping, Wav2Lip's has only the encoder, among other networks."""
  variables = jax.eval_shape(AudioToMouth(4).init, jax.random.key(0), jnp.zeros((1, 80, 16)))
  variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, np.float32), variables)
  arrays = to_official(variables, AudioConfig(), 'audio2lip')
  encoder = {f'module.{name}': array for name, array in arrays.items() if name.startswith('audio_encoder.')}
  np.savez(tmp_path / 'audio2lip.npz', **arrays)
  np.savez(tmp_path / 'wav2lip.npz', **encoder, **{'module.output_block.bias': np.zeros(3)})
  for name, mapped in (('audio2lip', True), ('wav2lip', False)):
    stage = stages.build(training(settings(encoder=str(tmp_path / f'{name}.npz'), width=1.0), 'mapping'))
    found = trees.flatten(jax.jit(lambda key, stage=stage: stage.init(key)['model']['audio'])(jax.random.key(0)))
    kernel = found.pop('params/mapping/kernel')
    assert np.all(kernel == 0.5) == mapped
    found.pop('params/mapping/bias')
    assert all(np.all(array == 0.5) and re.search(stage.given, f'audio/{path}') for path, array in found.items())


def test_the_mapping_onto_twenty_weights_is_not_divided():
  """Eight devices would not divide it; the encoder's channels they do."""
  spec = lambda path, *shape: tuple(sharding.spec(f'model/audio/params/{path}', shape))
  assert spec('mapping/kernel', 512, 20) == ()
  assert spec('encoder/block_0/kernel', 3, 3, 1, 32) == (None, None, None, 'fsdp')


def test_an_encoder_for_another_mouth_bank_is_one_line(tmp_path):
  np.savez(tmp_path / 'audio2lip.npz', **{'mapping.weight': np.zeros((20, 512)), 'mapping.bias': np.zeros(20)})
  with pytest.raises(UserError, match='drives a mouth bank of 20, the model has one of 4'):
    stages.build(settings(encoder=str(tmp_path / 'audio2lip.npz'), width=1.0))


def test_a_model_without_a_mouth_bank_is_one_line():
  with pytest.raises(UserError, match="stage audio_to_mouth needs a bank named 'mouth'"):
    stages.build(tiny.config('audio_to_mouth', banks=(('motion', 4),)))
