"""Sync-C and Sync-D: do lips and sound belong together, by the distances of their embeddings at all offsets.

Chung and Zisserman (2016) as `syncnet_python` computes them, and with it the evaluation of Wav2Lip and of EAT.
"""

from typing import NamedTuple

import numpy as np
import scipy.fft

SHIFT = 15  # frames by which the sound is moved, to either side
RATE, PER_FRAME, PER_COLUMN = 16000, 640, 160  # samples: of a second, of a frame at 25 fps, of a cepstral column
_BANDS, _WINDOW, _FFT, _LIFTER = 26, 400, 512, 22


class Synchrony(NamedTuple):
  """What the distances say of one video.

  Attributes:
    confidence: Sync-C, the median over offsets minus the lowest; higher is better.
    distance: Sync-D, the lowest; lower is better.
    offset: frames by which the sound is to be moved back to get there; 0 is right.
  """

  confidence: float
  distance: float
  offset: int


def measure(lips: np.ndarray, sound: np.ndarray, shift: int = SHIFT) -> Synchrony:
  """Compares embeddings of windows, float[windows, features] each; window k begins at frame k.

  Distances of each offset are averaged over all windows, those beyond the ends included, where the sound's embedding
  counts as zero: the published code does so.

  Raises:
    ValueError: if there is no window, or not one of sound for each of lips.
  """
  if lips.shape != sound.shape or lips.ndim != 2 or not len(lips):
    raise ValueError(f'expected as many windows of lips as of sound, got {lips.shape} and {sound.shape}')
  padded = np.pad(sound.astype(np.float64), ((shift, shift), (0, 0)))
  means = np.array([np.linalg.norm(lips - padded[k : k + len(lips)], axis=1).mean() for k in range(2 * shift + 1)])
  best = int(means.argmin())
  return Synchrony(float(np.median(means) - means[best]), float(means[best]), shift - best)


def windows(frames: int, samples: int) -> int:
  """How many windows the published code compares: one less than fit."""
  return max(0, min(frames, samples // PER_FRAME) - 5)


def cepstrum(waveform: np.ndarray) -> np.ndarray:
  """Mel-frequency cepstral coefficients, float64[columns, 13], 100 columns a second.

  The settings are the defaults of the package python_speech_features, which SyncNet was trained with: windows of 25 ms
  without taper, 26 bands to 8 kHz, lifted, the first coefficient replaced by the log energy.

  Args:
    waveform: [samples] at 16 kHz, in units of 16 bit (-32768 to 32767), as SyncNet's loudness is.
  """
  emphasised = np.append(waveform[:1], waveform[1:] - 0.97 * waveform[:-1]).astype(np.float64)
  count = 1 + max(0, -(-(len(emphasised) - _WINDOW) // PER_COLUMN))
  emphasised = np.pad(emphasised, (0, max(0, (count - 1) * PER_COLUMN + _WINDOW - len(emphasised))))
  framed = np.lib.stride_tricks.sliding_window_view(emphasised, _WINDOW)[::PER_COLUMN][:count]
  power = np.square(np.abs(np.fft.rfft(framed, _FFT))) / _FFT
  logs = np.log(_positive(power @ _filters().T))
  coefficients = scipy.fft.dct(logs, type=2, axis=1, norm='ortho')[:, :13]
  coefficients *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(13) / _LIFTER)
  coefficients[:, 0] = np.log(_positive(power.sum(axis=1)))
  return coefficients


def _positive(x: np.ndarray) -> np.ndarray:
  return np.where(x == 0, np.finfo(float).eps, x)


def _filters() -> np.ndarray:
  """Triangles on a mel scale, float64[26, 257], with their corners on whole bins."""
  mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), _BANDS + 2)
  bins = np.floor((_FFT + 1) * 700 * (10 ** (mel / 2595) - 1) / RATE)
  low, middle, high = (bins[k : k + _BANDS, None] for k in range(3))
  at = np.arange(_FFT // 2 + 1)
  rising, falling = (at - low) / (middle - low), (high - at) / (high - middle)
  return np.where((low <= at) & (at < middle), rising, np.where((middle <= at) & (at < high), falling, 0.0))
