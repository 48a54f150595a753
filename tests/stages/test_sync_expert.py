"""The sync expert's loss and what the run says of it."""

import dataclasses
import math
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import stages
from edtalk_jax.config import AudioConfig, UserError
from edtalk_jax.stages import lips, sync_expert
from edtalk_jax.stages.stage import MOVED, WATCHED
from edtalk_jax.training import trees
from tests import tiny

SOUND = np.float32([1.0, 10.0, 100.0])


class Embedder:
  """Stands for the network: embeddings of two features by what mel and frames hold in one place."""

  def apply(self, variables, method, mutable):
    assert mutable == ['batch_stats']
    return method(self), {'batch_stats': 'next'}

  def listen(self, mel, train):
    return _circle(mel[:, 0, 0])

  def look(self, faces, train):
    return _circle(jnp.arccos(jnp.minimum(1.0, faces[:, 0, 48, 48, 0])))


def _circle(angle):
  return jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)


def test_loss_by_hand():
  """Lips at 0 degrees; own sound at 0 and 60, shifted sound at 90 and 60."""
  config = tiny.config('sync_expert')
  mel = lambda *degrees: np.radians(np.array(degrees, np.float32))[:, None, None] * np.ones((1, 80, 16), np.float32)
  batch = tiny.batch(config, size=2)
  batch |= {'frames': np.full_like(batch['frames'], 255), 'mel': mel(0, 60), 'shifted_mel': mel(90, 60)}
  terms, found = sync_expert._losses({'sync_expert': {}}, {}, {}, batch, expert=Embedder(), train=True)
  # Halves, so that knowing nothing costs log 2 in all; cos 90 degrees is 0 but for rounding.
  np.testing.assert_allclose(terms['aligned'], [0, -0.5 * math.log(0.5)], atol=1e-5)
  np.testing.assert_allclose(terms['shifted'], [0, -0.5 * math.log(0.5)], atol=1e-5)
  np.testing.assert_array_equal(found[WATCHED]['told_apart'], [1, 0.5])
  assert found[MOVED] == {'sync_expert': {'batch_stats': 'next'}}


def test_impossible_agreement_is_dear_but_finite():
  loss, gradient = jax.value_and_grad(lambda p: lips.surprise(p))(0.0)
  assert 15 < loss < 20 and np.isfinite(gradient)


@pytest.mark.parametrize(
  ('told_apart', 'loss', 'verdict'),
  [(0.51, 0.69, 'no more than chance'), (0.62, 0.69, 'learning'), (0.51, 0.4, 'not the lips'), (0.9, 0.3, 'learning')],
)
def test_stuck_is_told_from_learning(told_apart, loss, verdict):
  """Of 320 examples, a share beyond 0.5 + 3 x 0.5 / sqrt(320) = 0.584 is no accident."""
  said = sync_expert.diagnose(320, {'told_apart': told_apart, 'loss': loss})
  assert verdict in said and '\n' not in said


def test_weights_train_and_statistics_move():
  config = tiny.config('sync_expert')
  stage = stages.build(config)
  model = jax.eval_shape(stage.init, jax.random.key(0))['model']
  trained, others = trees.split(model, stage.trainable)
  assert {path.split('/')[1] for path in trained} == {'params'}
  assert others and all(re.search(stage.moving, path) for path in others)
  assert stage.over_batch == 'BatchNorm'


def test_other_choices_of_what_trains_are_refused():
  config = tiny.config('sync_expert')
  config = dataclasses.replace(config, run=dataclasses.replace(config.run, train='navigation'))
  with pytest.raises(UserError, match=r'run\.train=navigation: stage sync_expert trains one of everything'):
    stages.build(config)


def test_an_expert_that_is_not_there_is_one_line(tmp_path):
  with pytest.raises(UserError, match=r'audio\.sync_expert=.*absent: no such run or file'):
    lips.Expert(AudioConfig(sync_expert=str(tmp_path / 'absent')))
  (tmp_path / 'wrong.pth').write_bytes(b'nothing')
  with pytest.raises(UserError, match=r'audio\.sync_expert: sync expert: .*wrong\.pth') as caught:
    lips.Expert(AudioConfig(sync_expert=str(tmp_path / 'wrong.pth'))).init()
  assert '\n' not in str(caught.value)


def test_runs_on_object_storage_are_runs():
  assert lips.Expert(AudioConfig(sync_expert='gs://bucket/sync_expert')).run == 'gs://bucket/sync_expert'


class FirstPixel(nn.Module):
  """Embeds faces as the colours of their first pixel, and any sound as `SOUND`."""

  def __call__(self, mel, faces):
    return jnp.broadcast_to(SOUND, (len(faces), 3)), faces[:, 0, 0, 0]


def test_released_experts_get_blue_first_in_zero_to_one(tmp_path):
  """Wav2Lip's conventions; ours are those of the stage."""
  (tmp_path / 'expert.pth').write_bytes(b'')
  colours = np.float32([-1.0, 0.0, 0.5])
  faces = jnp.broadcast_to(colours, (1, 5, 96, 96, 3))
  for path, seen in ((tmp_path / 'expert.pth', [0.75, 0.5, 0]), (tmp_path, colours)):
    expert = lips.Expert(AudioConfig(sync_expert=str(path)), network=FirstPixel())
    np.testing.assert_allclose(expert.agreement({}, None, faces), [np.dot(SOUND, seen)], rtol=1e-6)
