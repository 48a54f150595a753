"""Stage audio_to_pose: its examples, its losses by hand, what it trains, and that it learns."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipeline import sequences
from data_pipeline.audio_features import mel_windows
from data_pipeline.sampling import Draw, Options
from edtalk_jax import stages
from edtalk_jax.config import FlowConfig, MeshConfig, OptimizerConfig, UserError
from edtalk_jax.stages import audio_to_pose
from edtalk_jax.training import feed, first_state, programs, sharding, trees
from edtalk_jax.training.examples import Examples
from tests import compiled, tiny

FRAMES = 6
CONFIG = dataclasses.replace(
  tiny.config('audio_to_pose'),
  flow=FlowConfig(frames=FRAMES, steps=2, hidden=8, layers=1, condition=4),
  optimizer=OptimizerConfig(learning_rate=0.01, beta1=0.9, generator_every=0, clip=1.0),
)


def batch(seed, size=8):
  """Heads that nod as loudly as the sound is, about a mean of 5."""
  rng = np.random.default_rng(seed)
  sound = rng.normal(size=(size, FRAMES, 1, 1)).astype(np.float32)
  pose = 5 + 2 * sound[..., 0] * [1, -1, 0.5] + 0.1 * rng.normal(size=(size, FRAMES, 3))
  return {
    'pose': pose.astype(np.float32),
    'mel': np.broadcast_to(sound, (size, FRAMES, 80, 16)).copy(),
    'length': np.full(size, FRAMES, np.int32),
    'noise': rng.normal(size=(size, FRAMES, 3)).astype(np.float32),
  }


@pytest.fixture(scope='module')
def trained():
  """The parameters as begun and after 60 steps, and the terms before and after."""
  parts = compiled.on_one_device(CONFIG)
  with jax.set_mesh(parts.mesh):
    state = parts.init(jax.random.key(0))
    state = state.replace(model=parts.start(state.model, batch(0)))
    before = jax.device_get(state.model)
    terms = [jax.device_get(parts.validate(state.model, {}, {}, batch(99)))]
    for step in range(60):
      state, _ = parts.train(state, {}, batch(step))
    terms.append(jax.device_get(parts.validate(state.model, {}, {}, batch(99))))
  return before, jax.device_get(state.model), terms


def test_it_learns_what_the_sound_tells(trained):
  _, _, (first, last) = trained
  # Three channels of variance 1, of which the sound tells all but one part in 400; noise of 60 steps of batch 8.
  assert last['nll'] < first['nll'] - 0.3
  assert last['dual'] < 0.7 * first['dual'] and last['temporal'] < 0.7 * first['temporal']


def test_what_the_first_batch_sets_stays_bit_equal_and_all_else_moves(trained):
  before, after, _ = trained
  before, after = trees.flatten(before), trees.flatten(after)
  np.testing.assert_allclose(before['flow/mean'], batch(0)['pose'].mean((0, 1)), rtol=1e-5)
  for path, array in after.items():
    assert np.array_equal(array, before[path]) == (path in ('flow/mean', 'flow/deviation', 'flow/predictor')), path


def test_losses_by_hand():
  valid = np.array([[True, True, False]])
  z, change = np.array([[[1.0, 2.0], [0.0, 0.0], [9.0, 9.0]]]), np.array([[0.5, -0.25, 9.0]])
  density = -0.5 * (1 + 4) - 2 * np.log(2 * np.pi) + 0.25
  np.testing.assert_allclose(audio_to_pose.nats_per_number(z, change, valid), [-density / 4], rtol=1e-6)
  np.testing.assert_allclose(audio_to_pose.squared_error(z, 0 * z, valid), [(1 + 4) / 4], rtol=1e-6)


def test_frames_beyond_the_end_reach_no_term():
  stage, model = compiled.stage(CONFIG), compiled.params(CONFIG)['model']
  leaves, tree = jax.tree.flatten(model)
  model = jax.tree.unflatten(tree, [leaf + 0.1 for leaf in leaves])  # no coupling is the identity
  losses = jax.jit(functools.partial(stage.model_losses, model, {}, {}))
  short = {**batch(0), 'length': np.full(8, 4, np.int32)}
  other = {
    name: np.concatenate([value[:, :4], 7 + value[:, 4:]], 1) if value.ndim > 1 else value
    for name, value in short.items()
  }
  for name, value in losses(short)[0].items():
    np.testing.assert_allclose(losses(other)[0][name], value, rtol=1e-4, err_msg=name)
  assert not np.allclose(losses(batch(0))[0]['nll'], losses(short)[0]['nll'])


def test_every_mesh_begins_with_the_same_parameters():
  stage, noise = stages.build(CONFIG), dataclasses.replace(CONFIG.data, synthetic_batch=True)
  config, begun = dataclasses.replace(CONFIG, data=noise), []
  for devices in (1, 4):
    mesh = sharding.make_mesh(MeshConfig(), jax.devices()[:devices])
    parts = programs.build(config, stage, mesh)
    with jax.set_mesh(mesh):
      begun.append(jax.device_get(first_state.build(Examples(config, stage, None), parts, mesh, None, print).model))
  assert float(jnp.max(jnp.abs(begun[0]['flow']['stacked']['shift'][1]))) > 0  # the data has set it
  jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), *begun)


@dataclasses.dataclass
class Spoken:
  """As much of a clip as the sampler looks at."""

  clip_id: str
  mel: np.ndarray
  record: types.SimpleNamespace
  frames: int

  def __len__(self):
    return self.frames


def population(frames, late=0):
  """One clip whose mel columns and weights are their own numbers."""
  mel = np.repeat(np.arange(100, dtype=np.float32)[:, None], 80, 1)
  clip = Spoken('a#1', mel, types.SimpleNamespace(av_offset=late), frames)
  weights = {'pose': np.arange(frames * 3, dtype=np.float32).reshape(frames, 3)}
  return types.SimpleNamespace(clip=lambda number: clip, motion=types.SimpleNamespace(weights=lambda clip_id: weights))


@pytest.mark.parametrize('late', [0, 2])
def test_a_sequence_has_the_weights_and_the_sound_of_the_same_frames(late):
  begins = set()
  for seed in range(20):
    found = sequences.pose_sequence(population(20, late), Draw(0, np.random.default_rng(seed)), Options(8, frames=6))
    begin = int(found['pose'][0, 0]) // 3
    begins.add(begin)
    np.testing.assert_array_equal(found['pose'][:, 0], 3 * np.arange(begin, begin + 6))
    heard = np.minimum(np.arange(begin, begin + 6) + late, 19)
    np.testing.assert_array_equal(found['mel'], mel_windows(population(20).clip(0).mel, heard))
    assert found['length'] == 6 and str(found['origin'][0]) == f'pose=a#1:{begin}-{begin + 5}'
  assert min(begins) <= 2 and max(begins) >= 12 and max(begins) <= 14


def test_a_short_clip_is_filled_up():
  found = sequences.pose_sequence(population(4), Draw(0, np.random.default_rng(0)), Options(8, frames=6))
  assert found['length'] == 4 and found['pose'].shape == (6, 3) and not found['pose'][4:].any()
  assert found['mel'].shape == (6, 80, 16) and not found['mel'][4:].any()


def test_the_synthetic_batch_and_the_examples_have_the_same_fields():
  example = sequences.pose_sequence(population(9), Draw(0, np.random.default_rng(0)), Options(8, frames=FRAMES))
  wanted = feed.shapes(CONFIG, stages.build(CONFIG))
  assert {name: (np.shape(value), np.asarray(value).dtype) for name, value in example.items() if name != 'origin'} == {
    name: (field.shape, field.dtype) for name, field in wanted.items()
  }


def test_a_pose_of_one_number_is_refused():
  with pytest.raises(UserError, match="needs a bank 'pose' of 2 or more"):
    stages.build(dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, banks=(('pose', 1),))))
