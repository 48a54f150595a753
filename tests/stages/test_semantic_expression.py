"""Stage semantic_expression: what it trains, that it learns, and that either modality is enough."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from edtalk_jax import stages
from edtalk_jax.config import OptimizerConfig, SemanticConfig
from edtalk_jax.evaluation import semantic_expression as evaluation
from edtalk_jax.evaluation import statistics
from edtalk_jax.stages import semantic_expression
from edtalk_jax.training import feed, trees
from tests import compiled, tiny

SOUND, WORDS = np.random.default_rng(5).normal(size=(2, 4, 16)).astype(np.float32)  # of four moods
MOODS = np.random.default_rng(6).normal(5.0, 2.0, (4, 10)).astype(np.float32)
FULL = (np.ones((16, 2)), np.tile([1, 0], (16, 1)), np.tile([0, 1], (16, 1)))


@pytest.fixture(scope='module')
def config(tmp_path_factory):
  """Features of length 16, as a file of another extractor has them."""
  path = tmp_path_factory.mktemp('features') / 'features.npz'
  np.savez(path, ids=np.array(['a']), values=np.zeros((1, 16)))
  return dataclasses.replace(
    tiny.config('semantic_expression'),
    semantic=SemanticConfig(audio=str(path), text=str(path), width=32),
    optimizer=OptimizerConfig(learning_rate=0.003, beta1=0.9, generator_every=0),
  )


def batch(seed, known, size=16):
  """Moods that sound and words tell; what is unknown holds the features of a random one."""
  rng = np.random.default_rng(seed)
  mood = rng.integers(0, 4, size)
  other = rng.integers(0, 4, (2, size))
  pick = lambda table, k: table[np.where(known[:, k] > 0, mood, other[k])] + 0.1 * rng.normal(size=(size, 16))
  fields = {
    'target': MOODS[mood] + 0.1 * rng.normal(size=(size, 10)),
    'neutral': rng.normal(size=(size, 10)),
    'audio': pick(SOUND, 0),
    'text': pick(WORDS, 1),
    'known': known,
  }
  return {name: value.astype(np.float32) for name, value in fields.items()}


def mixed(seed):
  """A third of each: both, sound alone, words alone."""
  choice = np.random.default_rng((1, seed)).integers(0, 3, 16)  # from another stream than the moods
  return batch(seed, np.stack([FULL[k][0] for k in choice]))


@pytest.fixture(scope='module')
def trained(config):
  parts = compiled.on_one_device(config)
  with jax.set_mesh(parts.mesh):
    state = parts.init(jax.random.key(0))
    state = state.replace(model=parts.start(state.model, mixed(0)))
    before = jax.device_get(state.model)
    for step in range(150):
      state, _ = parts.train(state, {}, mixed(step))
    terms = [jax.device_get(parts.validate(state.model, {}, {}, batch(999, known)))['l1'] for known in FULL]
  return before, jax.device_get(state.model), terms


def test_either_modality_is_enough(trained):
  # One answer for all moods is about 0.8 standard deviations off; noise alone is 0.04.
  assert max(trained[2]) < 0.3


def test_what_the_first_batch_sets_stays_bit_equal_and_all_else_moves(trained):
  before, after = trees.flatten(trained[0]), trees.flatten(trained[1])
  np.testing.assert_allclose(before['semantic/target_mean'], mixed(0)['target'].mean(0), rtol=1e-5)
  np.testing.assert_allclose(before['semantic/neutral'], mixed(0)['neutral'].mean(0), atol=1e-5)
  for path, array in after.items():
    assert np.array_equal(array, before[path]) == path.endswith(('_mean', '_deviation', '/neutral')), path


def test_an_unknown_modality_counts_for_nothing(config, trained):
  module, params = semantic_expression.network(config), trained[1]['semantic']
  one = batch(0, FULL[1])
  other = {**one, 'text': one['text'] + 3}
  results = [module.apply({'params': params}, b['audio'], b['text'], b['known']) for b in (one, other)]
  np.testing.assert_array_equal(*results)
  heard = module.apply({'params': params}, one['audio'] + 3, one['text'], one['known'])
  assert np.abs(heard - results[0]).max() > 0.1


def test_statistics_are_of_the_examples_that_have_the_modality(config):
  stage, first = stages.build(config), mixed(0)
  spoilt = {**first, 'audio': np.where(first['known'][:, :1] > 0, first['audio'], 1e6)}
  found = stage.start(compiled.params(config)['model'], spoilt)
  there = first['audio'][first['known'][:, 0] > 0]
  np.testing.assert_allclose(found['semantic/audio_mean'], there.mean(0), atol=1e-4)


def test_fields_and_sizes_follow_the_features(config):
  fields = feed.shapes(config, stages.build(config))
  assert {name: field.shape for name, field in fields.items()} == {
    'target': (10,),
    'neutral': (10,),
    'audio': (16,),
    'text': (16,),
    'known': (2,),
  }
  built_in = feed.shapes(config, stages.build(dataclasses.replace(config, semantic=SemanticConfig())))
  assert built_in['audio'].shape == (400,) and built_in['text'].shape == (512,)


class Weights(dict):
  """Motion weights of clips: one frame each."""

  def weights(self, clip_id):
    return {'expression': self[clip_id]}


def test_expressions_count_from_the_persons_neutral_clips():
  rows = [
    ('a', 'Ann', 'neutral', 1),
    ('b', 'Ann', 'neutral', 3),
    ('c', 'Ann', 'happy', 7),
    ('d', 'Bob', 'sad', 5),
    ('e', 'Ann', '', 9),
  ]
  infos = [types.SimpleNamespace(clip_id=clip, identity=who, emotion=emotion) for clip, who, emotion, _ in rows]
  motion = Weights({clip: np.full((2, 1), value, np.float32) for clip, _, _, value in rows})
  assert evaluation.expressions(infos, motion, relative=False) == {0: 1, 1: 3, 2: 7, 3: 5}
  assert evaluation.expressions(infos, motion, relative=True) == {2: 5}  # Bob has no neutral clip


def test_predictions_are_of_an_average_person(config):
  module = semantic_expression.network(config)
  params = {'target_mean': np.full(10, 2.0), 'target_deviation': np.full(10, 3.0), 'neutral': np.arange(10.0)}
  params = {**module.init(jax.random.key(0), *(np.zeros((1, n)) for n in (16, 16, 2)))['params'], **params}
  found = module.apply({'params': params}, np.ones((1, 10)), method='restore')
  np.testing.assert_allclose(found[0], 5 + np.arange(10))


def test_balanced_accuracy_by_hand():
  wanted = ['happy', 'happy', 'happy', 'sad', 'mixed']
  found = ['happy', 'sad', 'happy', 'sad', 'sad']
  value = statistics.balanced_accuracy(found, wanted, ['happy', 'sad'], ['one'] * 5)
  assert value.mean == pytest.approx((2 / 3 + 1) / 2) and (value.frames, value.missing) == (4, 1)
  # Two people, each counting once: the first finds half of her happy clips, the second all of his.
  value = statistics.balanced_accuracy([*found[:3], 'sad'], wanted[:4], ['happy', 'sad'], ['one', 'one', 'two', 'two'])
  assert value.mean == pytest.approx(((0.5 + 0.5) / (1 + 0.5) + 1) / 2) and value.low < value.mean <= value.high <= 1
