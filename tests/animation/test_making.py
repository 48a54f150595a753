"""Motion made up for a sound: which files are written, and whose words count."""

import numpy as np
import pytest

from data_pipeline import audio_features, media, semantics
from edtalk_jax import model as model_lib
from edtalk_jax.animation import making, motion_file
from edtalk_jax.config import UserError
from tests import untrained
from tests.animation import fakes

pytestmark = pytest.mark.integration


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  return untrained.save_family(tmp_path_factory.mktemp('runs'))


@pytest.fixture(scope='module')
def sound(tmp_path_factory):
  """One second of noise."""
  noise = np.random.default_rng(0).normal(0, 0.1, media.AUDIO_RATE).astype(np.float32)
  return fakes.sound(tmp_path_factory.mktemp('sound') / 'talk.wav', noise)


def test_a_file_of_both_is_as_long_as_the_sound(runs, sound, tmp_path):
  out = tmp_path / 'made.npz'
  making.make(sound, out, pose=runs['flow'], expression=runs['semantic'], settings=making.Settings())
  stored = np.load(out)
  assert stored['pose'].shape == (25, 3) and stored['expression'].shape == (25, 10)
  assert float(stored['fps']) == 25 and np.isfinite(stored['pose']).all()
  np.testing.assert_array_equal(stored['expression'], np.repeat(stored['expression'][:1], 25, 0))
  found = motion_file.read(out, model_lib.load(runs['reader']), 25)
  assert set(found) == {'pose', 'expression'}


def test_seed_and_words_count(runs, sound, tmp_path):
  make = lambda **settings: making.make(
    sound, tmp_path / 'x.npz', pose=runs['flow'], expression=runs['semantic'], settings=making.Settings(**settings)
  )
  one = make()
  assert not np.array_equal(make(seed=1)['pose'], one['pose'])
  np.testing.assert_array_equal(make()['pose'], one['pose'])
  assert not np.array_equal(make(text='how dare you')['expression'], one['expression'])


def test_sound_is_heard_in_pieces_as_it_would_be_whole():
  """A second and a half of a tone in noise between silences: both kinds of columns are there."""
  noise = np.random.default_rng(0).normal(0, 0.05, 24_000).astype(np.float32)
  noise[:4000] = noise[-6000:] = 0
  wave = noise + np.where(noise != 0, np.sin(np.arange(24_000) / 5), 0).astype(np.float32)
  heard = making._Sound(np.split(wave, [1000, 9000]))
  windows = np.concatenate(list(heard.windows()))
  mel = audio_features.mel_spectrogram(wave)
  assert heard.frames == len(windows) == 37
  np.testing.assert_allclose(windows, audio_features.mel_windows(mel, np.arange(37)), atol=2e-5)  # pieces' rounding
  # Quantiles come from a histogram, whose bins are 1e-3 wide.
  found, whole = heard.statistics.result(), semantics.mel_statistics(mel)
  np.testing.assert_allclose(found[:240], whole[:240], atol=1e-4)
  np.testing.assert_allclose(found[240:], whole[240:], atol=1.1e-3)


def test_mistakes_are_named_in_one_line(runs, sound, tmp_path):
  make = lambda audio=sound, **options: making.make(audio, tmp_path / 'x.npz', settings=making.Settings(), **options)
  with pytest.raises(UserError, match='flow: a run of stage audio_to_pose, expected semantic_expression'):
    make(expression=runs['flow'])
  with pytest.raises(UserError, match='--temperature 3: expected 0 to 2'):
    making.Settings(temperature=3)
  with pytest.raises(UserError, match='the pose of both runs is not of the same model'):
    make(pose=runs['foreign'], expression=runs['semantic'])
  silent = fakes.video(tmp_path / 'silent.mp4', [100] * 3, 0)
  for bank in ({'pose': runs['flow']}, {'expression': runs['semantic']}):
    with pytest.raises(UserError, match=r'silent\.mp4: holds no sound'):
      make(silent, **bank)
