"""Expression presets: what is averaged over what, how strengths count, what is refused."""

import types

import numpy as np
import pytest

from edtalk_jax.animation import presets
from edtalk_jax.config import UserError


class FakeModel:
  """Reads a picture's mean red and green as the two expression weights."""

  image_size, banks, step = 8, ('mouth', 'expression'), 30

  def motion(self, images):
    return {'expression': images.mean((1, 2))[:, :2].astype(np.float32)}


class FakeClip:
  def __init__(self, identity, emotion, levels):
    self.identity, self.emotion, self._levels = identity, emotion, levels

  def __len__(self):
    return len(self._levels)

  def frame(self, index, size):
    return np.full((size, size, 3), self._levels[index], np.uint8)


class FakeClips(list):
  folder, split, fingerprint = 'records', 'train', 'digest'

  @property
  def infos(self):
    return [types.SimpleNamespace(emotion=clip.emotion, frames=len(clip)) for clip in self]


CLIPS = FakeClips(
  [
    FakeClip('anna', 'neutral', [10, 10, 10]),
    FakeClip('bert', 'neutral', [30]),
    FakeClip('anna', 'happy', [100, 200]),  # 150 on average
    FakeClip('anna', 'happy', [50]),
    FakeClip('bert', 'happy', [60]),
    FakeClip('carl', '', [250]),  # of whom nothing is known
  ]
)


@pytest.fixture(scope='module')
def found():
  return presets.extract(FakeModel(), CLIPS)


def test_clips_then_people_then_emotions_are_averaged(found):
  assert set(found.emotions) == {'neutral', 'happy'}
  happy = found.emotions['happy']
  np.testing.assert_allclose(happy.mean, [80, 80])  # anna (150 + 50) / 2, bert 60
  np.testing.assert_allclose(happy.spread, np.std([150, 50, 60]) * np.ones(2), rtol=1e-6)
  assert (happy.clips, happy.people) == (3, 2)
  np.testing.assert_allclose(found.distance('happy'), 60 * np.sqrt(2))


def test_few_frames_are_spread_over_the_clip():
  clip = FakeClips([FakeClip('anna', 'neutral', list(range(0, 100, 10)))])
  np.testing.assert_allclose(presets.extract(FakeModel(), clip, frames=3).emotions['neutral'].mean, [130 / 3] * 2)


def test_strengths_count_from_neutral(found):
  for text, weight in {
    'neutral': 20,
    'happy': 80,
    'happy:0.5': 50,
    'happy:0': 20,
    'happy:-0.5': -10,
    'happy:0.5+happy:0.25+neutral:3': 65,
  }.items():
    np.testing.assert_allclose(found.mix(text), [[weight, weight]], rtol=1e-6, err_msg=text)


@pytest.mark.parametrize('text', ['happy', 'happy:0.7+surprised:0.3', 'sad:.5'])
def test_mixtures_are_told_from_files(text):
  assert presets.is_mixture(text) and not presets.is_mixture(f'{text}.mp4') and not presets.is_mixture(f'a/{text}')


def test_they_come_back_from_the_folder_of_their_own_parameters(found, tmp_path):
  presets.write(found, tmp_path)
  again = presets.read(tmp_path, FakeModel())
  np.testing.assert_array_equal(again.mix('happy'), found.mix('happy'))
  later = types.SimpleNamespace(step=31)
  with pytest.raises(UserError, match='of step 30, the model is at step 31; edtalk extract-presets'):
    presets.read(tmp_path, later)
  (tmp_path / presets.FILE).write_text('{"step": 30}')
  with pytest.raises(UserError, match='damaged'):
    presets.read(tmp_path, FakeModel())
  with pytest.raises(UserError, match='no presets yet'):
    presets.read(tmp_path / 'absent', FakeModel())


def test_mistakes_are_named(found):
  with pytest.raises(UserError, match='no preset angry, there are happy, neutral'):
    found.mix('happy+angry:0.5')
  with pytest.raises(UserError, match='expected a file, or presets such as'):
    found.mix('Happy 0.5')
  with pytest.raises(UserError, match="no clip of the split 'train' is labelled neutral"):
    presets.extract(FakeModel(), FakeClips(CLIPS[2:]))
  plain = types.SimpleNamespace(**{**vars(FakeModel), 'banks': ('mouth', 'pose')})
  with pytest.raises(UserError, match='no expression space, only mouth, pose'):
    presets.extract(plain, CLIPS)
