"""The public model: batching and padding change nothing, banks left out are the portrait's own."""

import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import edtalk_jax
from edtalk_jax.config import Config, FlowConfig, ModelConfig, PerceptualConfig, RunConfig, UserError
from edtalk_jax.model import Model, load
from edtalk_jax.networks.audio import AudioToMouth
from edtalk_jax.networks.edtalk import EDTalk
from tests import untrained

SIZE = 16
CONFIG = Config(
  model=ModelConfig(
    image_size=SIZE,
    style_dim=32,
    channel_base=256,
    channel_max=16,
    trunk_layers=1,
    head_layers=2,
    banks=(('mouth', 4), ('pose', 3)),
  ),
  perceptual=PerceptualConfig(scales=(1.0,)),
)


@pytest.fixture(scope='module')
def params():
  images = jnp.zeros((1, SIZE, SIZE, 3))
  return jax.jit(EDTalk(CONFIG.model).init)(jax.random.key(0), images, images)['params']


@pytest.fixture(scope='module')
def model(params):
  return Model(CONFIG, params, batch_size=2)


def test_the_package_offers_load_and_imports_light():
  assert edtalk_jax.load is load
  code = 'import sys, edtalk_jax; assert "jax" not in sys.modules and edtalk_jax.__version__'
  subprocess.run([sys.executable, '-c', code], check=True, timeout=60, cwd=pathlib.Path(__file__).parents[1])


def _images(count, seed=0):
  return np.random.default_rng(seed).integers(256, size=(count, SIZE, SIZE, 3), dtype=np.uint8)


def test_generate_is_the_network_applied_to_one_pair(model, params):
  source, driver = _images(2)
  frames = model.generate(model.encode(source), model.motion(driver[None]))
  signal = jnp.asarray(np.stack([source, driver]), jnp.float32) / 127.5 - 1
  expected = jax.jit(EDTalk(CONFIG.model).apply)({'params': params}, signal[:1], signal[1:])[0]
  # One grey level: the value may lie on either side of a rounding edge.
  np.testing.assert_allclose(frames[0].astype(float), np.clip((expected + 1) * 127.5, 0, 255), atol=1.0)


def test_any_number_of_frames_gives_what_each_gives_alone(model):
  images = _images(5)
  together = model.motion(images)
  assert {name: values.shape for name, values in together.items()} == {'mouth': (5, 4), 'pose': (5, 3)}
  for name in together:
    alone = np.concatenate([model.motion(image[None])[name] for image in images])
    np.testing.assert_allclose(together[name], alone, rtol=1e-5, atol=1e-6)  # float32 in another batch position
  source = model.encode(images[0])
  frames = model.generate(source, together)
  assert frames.shape == (5, SIZE, SIZE, 3) and frames.dtype == np.uint8
  last = model.generate(source, {name: values[4:] for name, values in together.items()})
  np.testing.assert_allclose(frames[4].astype(int), last[0].astype(int), atol=1)


def test_uint8_and_float_images_are_the_same(model):
  image = _images(1)
  np.testing.assert_allclose(model.motion(image)['pose'], model.motion(image / 127.5 - 1)['pose'], rtol=1e-4, atol=1e-5)


def test_a_bank_left_out_keeps_the_portraits_own_motion(model):
  source = model.encode(_images(1)[0])
  mouth = model.motion(_images(3, seed=1))['mouth']
  pose = np.repeat(source.motion['pose'], 3, axis=0)
  np.testing.assert_array_equal(
    model.generate(source, {'mouth': mouth}), model.generate(source, {'mouth': mouth, 'pose': pose})
  )


def test_empty_motion_gives_no_frames(model):
  motion = model.motion(_images(0))
  assert motion['mouth'].shape == (0, 4)
  assert model.generate(model.encode(_images(1)[0]), motion).shape == (0, SIZE, SIZE, 3)


@pytest.mark.parametrize(
  'motion, message',
  [
    ({'eye': np.zeros((1, 4))}, 'eye; the model has mouth, pose'),
    ({'mouth': np.zeros((1, 5))}, r'mouth must be \[frames, 4\]'),
    ({'mouth': np.zeros((1, 4)), 'pose': np.zeros((2, 3))}, 'one length'),
  ],
)
def test_wrong_motion_is_named(model, motion, message):
  with pytest.raises(ValueError, match=message):
    model.generate(model.encode(_images(1)[0]), motion)


@pytest.mark.parametrize('images', [np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, SIZE, SIZE, 3), np.int64)])
def test_wrong_images_are_named(model, images):
  with pytest.raises(ValueError, match='images must be'):
    model.motion(images)


def test_repainting_is_generating_with_each_image_as_its_own_portrait(model):
  images, mouth = _images(3), model.motion(_images(3, seed=1))['mouth']
  found = model.repaint(images, {'mouth': mouth})
  for k, image in enumerate(images):
    alone = model.generate(model.encode(image), {'mouth': mouth[k : k + 1]})[0]
    np.testing.assert_allclose(found[k].astype(int), alone.astype(int), atol=1)  # float32 in another batch position
  with pytest.raises(ValueError, match='one weight for each of 3 images, got 2'):
    model.repaint(images, {'mouth': mouth[:2]})


def test_devices_share_the_frames_and_change_nothing(params, model):
  several = Model(CONFIG, params, batch_size=8, devices=jax.local_devices()[:4])
  images = _images(10)
  for bank, weights in several.motion(images).items():
    np.testing.assert_allclose(weights, model.motion(images)[bank], rtol=1e-4, atol=1e-5)
  motion = model.motion(images)
  painted = several.generate(several.encode(images[0]), motion)
  np.testing.assert_allclose(painted.astype(int), model.generate(model.encode(images[0]), motion).astype(int), atol=1)
  with pytest.raises(ValueError, match='multiple of 4'):
    Model(CONFIG, params, batch_size=6, devices=jax.local_devices()[:4])


def test_a_batch_on_the_grid_is_bit_equal_alone(model):
  source, motion = model.encode(_images(1)[0]), model.motion(_images(6, seed=1))
  whole = model.generate(source, motion)
  for first in (0, 2, 4):
    part = {bank: weights[first : first + 2] for bank, weights in motion.items()}
    np.testing.assert_array_equal(model.generate(source, part), whole[first : first + 2])


def test_spaces_name_their_bank_and_those_before_it(params, model):
  changed = jax.tree.map(lambda x: x, params)
  changed['navigation']['banks']['pose'] = changed['navigation']['banks']['pose'] + 1
  other = Model(CONFIG, changed, batch_size=2)
  assert other.spaces['mouth'] == model.spaces['mouth'] and other.spaces['pose'] != model.spaces['pose']


@pytest.fixture(scope='module')
def hearing(params):
  audio = jax.jit(AudioToMouth(4, 0.0625).init)(jax.random.key(1), jnp.zeros((1, 80, 16)))
  return Model(CONFIG, {**params, 'audio': audio}, batch_size=2)


def test_sound_is_heard_in_pieces_as_in_one(hearing):
  wave = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
  whole = hearing.motion_from_audio(wave, 16_000)['mouth']
  assert whole.shape == (25, 4) and np.ptp(whole, axis=0).min() > 0
  listener = hearing.listener(16_000)
  parts = [listener.feed(wave[first : first + 999]) for first in range(0, len(wave), 999)]
  pieces = np.concatenate([part for part in (*parts, listener.finish()) if part is not None])
  np.testing.assert_array_equal(pieces, whole)
  assert hearing.motion_from_audio(wave[:500], 16_000)['mouth'].shape == (0, 4)


def test_a_deaf_model_can_borrow_ears_that_fit_its_mouth(model, hearing, params):
  with pytest.raises(UserError, match='does not hear; sound needs one of stage audio_to_mouth'):
    model.motion_from_audio(np.zeros(16_000), 16_000)
  wave = np.zeros(1_600)
  borrowed = model.hearing_with(hearing).motion_from_audio(wave, 16_000)
  np.testing.assert_array_equal(borrowed['mouth'], hearing.motion_from_audio(wave, 16_000)['mouth'])
  other = Model(CONFIG, {**params, 'navigation': jax.tree.map(lambda x: x + 1, params['navigation'])}, batch_size=2)
  with pytest.raises(UserError, match='different mouth spaces'):
    other.hearing_with(hearing)


def test_a_run_without_a_generator_is_refused(tmp_path):
  flow = FlowConfig(frames=6, steps=2, hidden=8, layers=1, condition=4)
  run = untrained.save(tmp_path / 'pose', Config(run=RunConfig(stage='audio_to_pose'), flow=flow))
  with pytest.raises(UserError, match='/pose: a run of stage audio_to_pose has no encoder; animation needs'):
    load(run)
