"""Mel windows of sound as it comes: those of the whole sound, and bit-equal however it is cut."""

import itertools

import numpy as np
import pytest

from data_pipeline import audio_features
from data_pipeline.media import AUDIO_RATE
from data_pipeline.mel_stream import MelStream


def _wave(samples, seed=0):
  return (0.2 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def _streamed(wave, pieces, block=8):
  stream, found = MelStream(block), []
  for piece in pieces:
    found += list(stream.feed(wave[piece[0] : piece[1]]))
  return [*found, *stream.finish()]


@pytest.mark.parametrize('samples', [640 * 2, 5_000, 640 * 8, 640 * 8 + 2_000, 50_000])
@pytest.mark.parametrize('block', [1, 8])
def test_windows_are_those_of_the_whole_sound(samples, block):
  wave = _wave(samples)
  mel = audio_features.mel_spectrogram(wave)
  expected = audio_features.mel_windows(mel, np.arange(samples // 640))
  found = np.concatenate(_streamed(wave, [(0, samples)], block))
  # Sums of float32 magnitudes in another order, over a logarithm that ends at -4.
  np.testing.assert_allclose(found, expected, atol=2e-5)


def test_however_the_sound_is_cut_windows_are_bit_equal():
  wave, rng = _wave(60_000), np.random.default_rng(1)
  whole = np.concatenate(_streamed(wave, [(0, len(wave))]))
  for size in (320, 4_001, 17_000):
    cuts = [0, *np.sort(rng.integers(0, len(wave), len(wave) // size)).tolist(), len(wave)]
    np.testing.assert_array_equal(np.concatenate(_streamed(wave, itertools.pairwise(cuts))), whole)


def test_little_sound_is_held_and_the_delay_is_kept():
  stream, position, frames = MelStream(4), 0, 0
  for _ in range(400):
    frames += sum(len(windows) for windows in stream.feed(_wave(400)))
    position += 400
    # No frame waits longer than promised for the sound after its beginning.
    assert frames / 25 >= position / AUDIO_RATE - stream.delay - 400 / AUDIO_RATE
    assert len(stream._samples) < AUDIO_RATE
  assert 0.132 + 3 * 0.04 < stream.delay < 0.35


def test_one_frame_is_taken_as_if_silence_followed():
  wave = _wave(640)
  [windows] = _streamed(wave, [(0, 640)])
  silence = audio_features.mel_spectrogram(np.pad(wave, (0, 640)))
  np.testing.assert_allclose(windows, audio_features.mel_windows(silence, np.arange(1)), atol=2e-5)


def test_less_than_a_frame_gives_none():
  assert _streamed(_wave(639), [(0, 639)]) == []
