"""Mouth weights of sound as it comes: bit-equal however it is cut, at any rate, never later than promised."""

import numpy as np
import pytest

from edtalk_jax.listening import Listener


def _listener(rate=16_000, block=4):
  return Listener(lambda windows: windows[:, :2, :].mean(axis=2), rate, block)


def _heard(wave, size, **options):
  listener = _listener(**options)
  parts = [listener.feed(wave[first : first + size]) for first in range(0, len(wave), size)]
  return np.concatenate([part for part in (*parts, listener.finish()) if part is not None])


def _wave(samples):
  return (0.2 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize('rate', [16_000, 44_100])
def test_however_the_sound_is_cut_weights_are_bit_equal(rate):
  wave = _wave(3 * rate)
  whole = _heard(wave, len(wave), rate=rate)
  assert whole.shape == (75, 2) and whole.dtype == np.float32
  for size in (500, 7_777):
    np.testing.assert_array_equal(_heard(wave, size, rate=rate), whole)


@pytest.mark.parametrize('frames', [1, 2, 3, 4, 5, 9])
def test_every_frame_comes_once_and_is_smoothed_between_its_neighbours(frames):
  weights = np.arange(20, dtype=np.float32) ** 2
  count = 0

  def weigh(windows):
    nonlocal count
    count += len(windows)
    return np.stack([weights[count - len(windows) : count]] * 2, axis=1)

  listener = Listener(weigh, 16_000, block=4)
  parts = [listener.feed(_wave(frames * 640)), listener.finish()]
  found = np.concatenate([part for part in parts if part is not None])[:, 0]
  padded = np.pad(weights[:frames], 1, mode='edge')
  np.testing.assert_allclose(found, np.convolve(padded, [0.27406862, 0.45186276, 0.27406862], 'valid'), rtol=1e-6)


def test_no_frame_is_later_than_the_latency():
  listener, frames = _listener(), 0
  for heard in range(1, 400):
    part = listener.feed(_wave(160))
    frames += 0 if part is None else len(part)
    assert frames / 25 >= heard * 0.01 - listener.latency - 0.01
  assert listener.latency < 0.36  # four frames, 132 ms, one frame for smoothing, and what the grid rounds up


@pytest.mark.parametrize(
  'samples, message',
  [
    (np.zeros((2, 100)), r'samples must be float\[n\], mono'),
    (np.zeros(100, np.int16), r'samples must be float\[n\], mono, got int16'),
    (np.array([np.nan]), 'finite'),
  ],
)
def test_wrong_sound_is_named(samples, message):
  with pytest.raises(ValueError, match=message):
    _listener().feed(samples)
  with pytest.raises(ValueError, match='rate must be 8000 to 192000 Hz, got 25'):
    _listener(rate=25)


def test_no_sound_gives_nothing():
  listener = _listener()
  assert listener.feed(np.zeros(0, np.float32)) is None and listener.finish() is None
