"""Motion made up for a sound: which files are written, and whose words count."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from data_pipeline import audio_features, media, semantics
from edtalk_jax import stages
from edtalk_jax.animation import making, motion_file
from edtalk_jax.config import FlowConfig, SemanticConfig, UserError
from tests import tiny

READER = types.SimpleNamespace(spaces={'mouth': 'aa', 'pose': 'bb', 'expression': 'cc'}, banks=('mouth', 'pose'))


@pytest.fixture
def runs(monkeypatch):
  """Untrained runs of both stages, whose weights the same model has read."""
  configs = {
    'flow': dataclasses.replace(
      tiny.config('audio_to_pose'), flow=FlowConfig(frames=6, steps=2, hidden=8, layers=1, condition=4)
    ),
    'semantic': dataclasses.replace(tiny.config('semantic_expression'), semantic=SemanticConfig(width=16)),
  }
  restored = {
    name: types.SimpleNamespace(config=config, params=stages.build(config).init(jax.random.key(0))['model'])
    for name, config in configs.items()
  }
  monkeypatch.setattr(making.hand_off, 'read_run', restored.__getitem__)
  monkeypatch.setattr(making, '_reader', lambda workdir, config: READER)
  return restored


@pytest.fixture
def sound(monkeypatch):
  """One second of noise."""
  noise = np.random.default_rng(0).normal(0, 0.1, media.AUDIO_RATE).astype(np.float32)
  monkeypatch.setattr(making.media, 'read_sound', lambda path: iter(np.split(noise, [4000, 4100])))


def test_a_file_of_both_is_as_long_as_the_sound(runs, sound, tmp_path):
  out = tmp_path / 'made.npz'
  making.make('talk.wav', out, pose='flow', expression='semantic', settings=making.Settings())
  stored = np.load(out)
  assert stored['pose'].shape == (25, 3) and stored['expression'].shape == (25, 10)
  assert float(stored['fps']) == 25 and np.isfinite(stored['pose']).all()
  np.testing.assert_array_equal(stored['expression'], np.repeat(stored['expression'][:1], 25, 0))
  banks = (('mouth', 4), ('pose', 3), ('expression', 10))
  config = types.SimpleNamespace(model=types.SimpleNamespace(banks=banks))
  found = motion_file.read(out, types.SimpleNamespace(spaces=READER.spaces, config=config), 25)
  assert set(found) == {'pose', 'expression'}


def test_seed_and_words_count(runs, sound, tmp_path):
  make = lambda **settings: making.make(
    'talk.wav', tmp_path / 'x.npz', pose='flow', expression='semantic', settings=making.Settings(**settings)
  )
  one = make()
  assert not np.array_equal(make(seed=1)['pose'], one['pose'])
  np.testing.assert_array_equal(make()['pose'], one['pose'])
  assert not np.array_equal(make(text='how dare you')['expression'], one['expression'])


def test_sound_is_heard_in_pieces_as_it_would_be_whole(monkeypatch):
  """A second and a half of a tone in noise between silences: both kinds of columns are there."""
  noise = np.random.default_rng(0).normal(0, 0.05, 24_000).astype(np.float32)
  noise[:4000] = noise[-6000:] = 0
  wave = noise + np.where(noise != 0, np.sin(np.arange(24_000) / 5), 0).astype(np.float32)
  monkeypatch.setattr(making.media, 'read_sound', lambda path: iter(np.split(wave, [1000, 9000])))
  heard = making._Sound('talk.wav')
  windows = np.concatenate(list(heard.windows()))
  mel = audio_features.mel_spectrogram(wave)
  assert heard.frames == len(windows) == 37
  np.testing.assert_allclose(windows, audio_features.mel_windows(mel, np.arange(37)), atol=2e-5)  # pieces' rounding
  # Quantiles come from a histogram, whose bins are 1e-3 wide.
  found, whole = heard.statistics.result(), semantics.mel_statistics(mel)
  np.testing.assert_allclose(found[:240], whole[:240], atol=1e-4)
  np.testing.assert_allclose(found[240:], whole[240:], atol=1.1e-3)


def test_mistakes_are_named_in_one_line(runs, sound, tmp_path, monkeypatch):
  make = lambda **options: making.make('talk.wav', tmp_path / 'x.npz', settings=making.Settings(), **options)
  with pytest.raises(UserError, match='flow: a run of stage audio_to_pose, expected semantic_expression'):
    make(expression='flow')
  with pytest.raises(UserError, match='--temperature 3: expected 0 to 2'):
    making.Settings(temperature=3)
  other = types.SimpleNamespace(spaces={**READER.spaces, 'pose': 'dd'})
  readers = iter([READER, other])
  monkeypatch.setattr(making, '_reader', lambda workdir, config: next(readers))
  with pytest.raises(UserError, match='the pose of both runs is not of the same model'):
    make(pose='flow', expression='semantic')
  monkeypatch.setattr(making, '_reader', lambda workdir, config: READER)
  monkeypatch.setattr(making.media, 'read_sound', lambda path: iter(()))
  for bank in ({'pose': 'flow'}, {'expression': 'semantic'}):
    with pytest.raises(UserError, match=r'talk\.wav: holds no sound'):
      make(**bank)
