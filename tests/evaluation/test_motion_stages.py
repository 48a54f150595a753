"""Stages that learn from motion weights, from records to the report."""

import dataclasses
import functools
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipeline import motion, records, transcripts
from data_pipeline.datasets import synthetic
from data_pipeline.synthetic.clip import Plan
from edtalk_jax.config import CheckpointConfig, FlowConfig, LogConfig, OptimizerConfig, SemanticConfig, UserError
from edtalk_jax.evaluation import audio_to_pose, semantic_expression
from edtalk_jax.evaluation import run as evaluation
from edtalk_jax.evaluation.evaluate import Settings
from edtalk_jax.training import checkpoint, hand_off, record
from edtalk_jax.training import train as training
from tests import tiny

pytestmark = pytest.mark.integration

CONFIGS = {
  'audio_to_pose': {'flow': FlowConfig(frames=6, steps=2, hidden=8, layers=1, condition=4)},
  'semantic_expression': {'semantic': SemanticConfig(width=16)},
}


@pytest.fixture(scope='module')
def reader(tmp_path_factory):
  """A run that has read the motion weights of `data`: its checkpoint holds one number, which nobody runs."""
  workdir = tmp_path_factory.mktemp('reader')
  content = record.describe(tiny.config('expression'), {'stage': 'expression'})
  record.write(workdir, content)
  checkpoint.write(workdir, content, {'model': {'encoder': {'bias': jnp.zeros(1)}}}, step=1)
  return hand_off.open_run(str(workdir), parts=('model',))


@pytest.fixture(scope='module')
def data(reader, tmp_path_factory):
  """Rendered heads, whose true factors stand for the motion weights that `reader` has read."""
  folder = tmp_path_factory.mktemp('records')
  synthetic.make(Plan(clips=16, size=32, people=8, frames=8), folder, workers=0)
  about = {'records': records.fingerprint(folder), 'fingerprint': reader.fingerprint}
  for split in records.splits(folder):
    clips = list(records.Clips(folder, split))
    factors = np.concatenate([clip.record.truth.factors for clip in clips])
    weights = {'pose': factors[:, :3], 'expression': factors[:, 9:19]}
    motion.write(
      motion.folder_of(folder, reader.fingerprint), split, [(c.clip_id, len(c)) for c in clips], weights, about
    )
  return folder


@pytest.fixture
def trained(reader, data, tmp_path, request):
  """A run of the stage of a few steps."""
  stage = request.param
  config = dataclasses.replace(
    tiny.config(stage),
    optimizer=OptimizerConfig(learning_rate=0.003, beta1=0.9, generator_every=0),
    log=LogConfig(every=10, validate_batches=1),
    checkpoint=CheckpointConfig(every=20),
    **CONFIGS[stage],
  )
  config = dataclasses.replace(
    config, data=dataclasses.replace(config.data, motion=reader.workdir), run=dataclasses.replace(config.run, steps=20)
  )
  train = functools.partial(
    training.train, config, str(tmp_path), str(data), say=lambda line: None, devices=jax.devices()[:1]
  )
  train()
  return tmp_path, train


def evaluate(trained, data):
  workdir, _ = trained
  evaluation.run(str(workdir), str(data), split='train', settings=Settings(clips=0))
  assert '<h2>Measured</h2>' in (workdir / 'report.html').read_text()
  return json.loads((workdir / 'eval' / 'train' / 'metrics.json').read_text())


@pytest.mark.parametrize('trained', ['audio_to_pose'], indirect=True)
def test_a_pose_flow_is_trained_and_measured(trained, data):
  found = evaluate(trained, data)
  table = {name: row['mean'] for name, row in found['table'].items()}
  assert all(np.isfinite(value) for value in table.values())
  assert table['likelihood (nats)'] < 0.5 + table['likelihood, prediction']
  assert found['largest_inverse_error'] < 1e-4
  assert table['speed of usual samples'] < table['speed of samples']  # colder is calmer
  assert 0 < table['diversity'] < 3


@pytest.mark.parametrize('trained', ['semantic_expression'], indirect=True)
def test_expression_from_semantics_is_trained_and_measured(trained, data):
  found = evaluate(trained, data)
  table = {name: row['mean'] for name, row in found['table'].items()}
  modes = ('sound and words', 'sound alone', 'words alone', 'true weights')
  assert set(found['confusion']) == set(modes)
  # Weights that are the true factors tell emotions apart but for a trace of another one.
  assert table['label from true weights'] > 0.7
  assert all(0 <= table[f'label from {mode}'] <= 1.001 for mode in modes)
  clips = len(records.Clips(data, 'train'))
  assert all(np.sum(counts) == clips for counts in found['confusion'].values())


@pytest.mark.parametrize('trained', ['semantic_expression'], indirect=True)
def test_a_run_does_not_go_on_with_other_words(trained, data):
  _, train = trained
  table = data / transcripts.FILE
  words = table.read_text()
  try:
    table.write_text(words.replace('the', 'a'))
    with pytest.raises(UserError, match='files beside the records'):
      train()
  finally:
    table.write_text(words)


@pytest.mark.parametrize('trained', ['semantic_expression'], indirect=True)
def test_a_run_is_not_measured_by_the_weights_of_other_parameters(trained, reader, data):
  path = trained[0] / 'config.json'
  about = json.loads(path.read_text())
  assert about['motion'] == {'fingerprint': reader.fingerprint}
  path.write_text(json.dumps({**about, 'motion': {'fingerprint': 'cd' * 32}}))
  with pytest.raises(UserError, match=r'learned from motion weights that .*reader\d* read with other parameters'):
    evaluate(trained, data)


def test_clips_without_words_do_not_count():
  infos = [
    types.SimpleNamespace(identity=who, emotion=label)
    for who, label in [('Ann', 'happy'), ('Ann', 'sad'), ('Bob', 'happy'), ('Bob', 'sad')]
  ]
  true = np.array([[1.0], [-1.0], [1.2], [-1.2]])
  heard = np.array([[2.0], [-1.0], [np.nan], [1.0]])  # Bob is heard wrongly once, and once not at all
  predicted = semantic_expression.Predicted(
    infos, {'words alone': heard, semantic_expression.TRUE: true}, usual=np.zeros(1), deviation=np.full(1, 2.0)
  )
  known = semantic_expression.Known(np.array([[0.9], [1.1], [-1.1], [-0.9]]), ['happy', 'happy', 'sad', 'sad'])
  rows, confusion = semantic_expression.told(predicted, known, ['happy', 'sad'])
  assert confusion == {'words alone': [[1, 0], [1, 1]], semantic_expression.TRUE: [[2, 0], [0, 2]]}
  words, truth = rows
  assert words.note.endswith('of the 3 clips of 4 that have any') and truth.value.mean == 1
  assert words.value.mean == pytest.approx((1 + 1 / 3) / 2)  # sad: half of Ann's clips, all of Bob's
  heard_distance, constant = semantic_expression.distances(predicted)
  assert heard_distance.value.mean == pytest.approx(((1 / 2 + 0) / 2 + 2.2 / 2) / 2)  # every person alike
  assert heard_distance.value.missing == 1
  assert constant.value.mean == pytest.approx((1 + 1.2) / 2 / 2)


def test_speed_by_hand():
  x = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]])
  np.testing.assert_array_equal(audio_to_pose.speeds(x), [5, 0])


def test_the_beat_is_found_where_it_is_and_not_where_it_is_not():
  rng = np.random.default_rng(0)
  loudness = rng.normal(size=(6, 200))
  other = rng.normal(size=(6, 200, 2))
  clips = [(np.stack([x[:, 0], 0.5 * s + x[:, 1]], -1), s) for x, s in zip(other, loudness, strict=True)]
  direction = audio_to_pose.following(clips)
  assert abs(direction[1]) > 5 * abs(direction[0])
  # 0.5 / sqrt(1.25) by construction; a correlation of 200 frames has a standard deviation of 0.07.
  own = np.mean([audio_to_pose.beat(x, sound, direction) for x, sound in clips])
  assert own == pytest.approx(0.447, abs=0.1)
  wrong = np.mean([audio_to_pose.beat(clips[k][0], clips[k - 1][1], direction) for k in range(6)])
  assert abs(wrong) < 0.1
  still = np.zeros((200, 2))
  assert audio_to_pose.beat(still, loudness[0], direction) == 0
