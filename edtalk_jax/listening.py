"""Mouth weights of sound, as it comes."""

from collections.abc import Callable, Iterable

import av
import numpy as np

from data_pipeline.media import AUDIO_RATE, FPS
from data_pipeline.mel_stream import MelStream

# A Gaussian of one frame over three, as the official demos smooth mouths that are driven by sound.
_BESIDE, _CENTRE = np.float32([np.exp(-0.5), 1]) / np.float32(1 + 2 * np.exp(-0.5))
_SAMPLE_RATES = (8_000, 192_000)  # Hz


class Listener:
  """From sound to weights of the mouth bank, 25 a second; the same bit by bit however the sound is cut.

  Attributes:
    latency: seconds from a sound to the weights of the frame in which it is heard, at most: the 132 ms of sound after
      the frame that its window holds, one frame for smoothing, and the rest of the block that it is computed in.
  """

  def __init__(self, weigh: Callable[[np.ndarray], np.ndarray], rate: int, block: int = 8):
    """Begins at the first sample.

    Args:
      weigh: mel windows float32[block, 80, 16] -> weights float32[block, size].
      rate: samples per second of what will be fed.
      block: frames per call of `weigh`.

    Raises:
      ValueError: on a rate that is no sound's.
    """
    if not _SAMPLE_RATES[0] <= rate <= _SAMPLE_RATES[1]:
      raise ValueError(f'rate must be {_SAMPLE_RATES[0]} to {_SAMPLE_RATES[1]} Hz, got {rate}')
    self._weigh, self._block = weigh, block
    self._mel = MelStream(block)
    self._resampler = _Resampler(rate)
    self._held: np.ndarray | None = None  # the last two weights: one is out already, one waits for its successor
    self.latency = self._mel.delay + 1 / FPS

  def feed(self, samples: np.ndarray) -> np.ndarray | None:
    """Takes the next samples, float[n] in [-1, 1], mono. Returns the weights float32[frames, size] that are known now.

    None if there are none.

    Raises:
      ValueError: on samples of another shape or type, or that are not finite.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
      raise ValueError(f'samples must be float[n], mono, got {samples.dtype}{list(samples.shape)}')
    if not np.isfinite(samples).all():
      raise ValueError('samples must be finite')
    return self._smooth(self._mel.feed(self._resampler.feed(samples.astype(np.float32))))

  def finish(self) -> np.ndarray | None:
    """Ends the sound and returns the weights that remain; None if there are none."""
    rest = [self._smooth(self._mel.feed(self._resampler.finish())), self._smooth(self._mel.finish())]
    if self._held is not None:
      before, last = self._held
      rest.append(_blend(before, last, last)[None])
    rest = [weights for weights in rest if weights is not None]
    return np.concatenate(rest) if rest else None

  def _smooth(self, windows: Iterable[np.ndarray]) -> np.ndarray | None:
    """Returns smoothed weights of all windows but the last, which waits."""
    found = []
    for part in windows:
      padded = np.concatenate([part, np.repeat(part[-1:], self._block - len(part), axis=0)])
      weights = self._weigh(padded)[: len(part)]
      if self._held is None:
        self._held = np.stack([weights[0], weights[0]])
        weights = weights[1:]
      together = np.concatenate([self._held, weights])
      found.append(_blend(together[:-2], together[1:-1], together[2:]))
      self._held = together[-2:]
    return np.concatenate(found) if found else None


def _blend(before: np.ndarray, now: np.ndarray, after: np.ndarray) -> np.ndarray:
  return _BESIDE * (before + after) + _CENTRE * now


class _Resampler:
  """Sound at any rate to float32 at 16 kHz, as it comes."""

  def __init__(self, rate: int):
    self._rate = rate
    self._resampler = av.AudioResampler('fltp', 'mono', AUDIO_RATE) if rate != AUDIO_RATE else None

  def feed(self, samples: np.ndarray) -> np.ndarray:
    if self._resampler is None or not len(samples):
      return samples
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None], format='fltp', layout='mono')
    frame.sample_rate = self._rate
    return self._joined(self._resampler.resample(frame))

  def finish(self) -> np.ndarray:
    return self._joined(self._resampler.resample(None)) if self._resampler else np.zeros(0, np.float32)

  @staticmethod
  def _joined(frames) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *(frame.to_ndarray()[0] for frame in frames)])
