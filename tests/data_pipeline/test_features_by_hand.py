"""Mel spectrograms, bags of words and the names of finished work, computed a second time in other words."""

import zlib

import librosa
import numpy as np
import pytest
import scipy.signal

from data_pipeline import audio_features, prepare, semantics
from data_pipeline.quality.limits import Limits


def test_mel_spectrograms_are_those_of_wav2lip():
  wave = np.random.default_rng(0).normal(0, 0.1, 6400) * np.linspace(0, 1, 6400) ** 4  # from silence to noise
  emphasised = scipy.signal.lfilter([1, -0.97], [1], wave.astype(np.float32).astype(np.float64))
  padded = np.pad(emphasised, 400, mode='reflect')
  frames = np.stack([padded[200 * k : 200 * k + 800] for k in range(33)])
  spectrum = np.abs(np.fft.rfft(frames * scipy.signal.get_window('hann', 800), axis=1))
  mel = spectrum @ librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600).T
  decibels = 20 * np.log10(np.maximum(1e-5, mel)) - 20
  wanted = np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)
  assert wanted.min() < -3.5 and wanted.max() > 0.5
  np.testing.assert_allclose(audio_features.mel_spectrogram(wave.astype(np.float32)), wanted, atol=2e-3)


@pytest.mark.parametrize('word', ['hello', 'world', 'mouth', 'pose', 'what', 'a', 'b', 'c'])
def test_a_word_counts_at_the_place_and_with_the_sign_of_its_checksum(word):
  bag, code = semantics.hashed_text(word.upper() + '!'), zlib.crc32(word.encode())
  place = (code // 2) % 512
  assert np.flatnonzero(bag).tolist() == [place]
  assert bag[place] == (1 if code % 2 else -1)


def test_pairs_of_words_count_too_and_bags_have_length_one():
  bag = semantics.hashed_text('one two three')
  assert np.count_nonzero(bag) == 5
  np.testing.assert_allclose(np.abs(bag[bag != 0]), 5**-0.5, rtol=1e-6)


def test_finished_work_is_of_one_version_and_one_configuration(monkeypatch):
  config = prepare.PrepareConfig()
  assert config.fingerprint() == prepare.PrepareConfig().fingerprint()
  assert config.fingerprint() != prepare.PrepareConfig(quality=91).fingerprint()
  assert config.fingerprint() != prepare.PrepareConfig(limits=Limits(max_yaw=59)).fingerprint()
  before = config.fingerprint()
  monkeypatch.setattr(prepare, 'PIPELINE_VERSION', prepare.PIPELINE_VERSION + 1)
  assert config.fingerprint() != before
