"""By how many frames the sound of a clip is late: at which lag does the voice rise and fall as the mouth opens?

A voice is loudest, between 0.8 and 4.7 kHz, while the jaw is down. So the level of those mel bands is correlated with
the distance of the inner lips, both freed of what changes slowly, at lags of -15 to 15 frames. It needs no weights, and
nothing beyond what preparation has computed anyway. Source: ours; docs/quality.md has what was measured.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.ndimage

from data_pipeline import audio_features
from data_pipeline.quality.limits import Limits
from data_pipeline.rates import AUDIO_RATE, FPS

SEARCH = 15  # frames to either side
LAGS = np.arange(-SEARCH, SEARCH + 1)
SHORTEST = 50  # frames that must be compared: shorter clips agree at some lag or other by chance
SMALLEST_SHIFT = 2  # frames; less than that is within the measurement's own error

_BANDS = slice(20, 68)  # 0.8 to 4.7 kHz: the second and third formant, above most noise
_DEPTH = 3.0  # mel units (37.5 dB) below the loudest moment, where the level ends: silence is not quieter than silence
_SLOW = 8.0  # frames, standard deviation of the Gaussian whose mean is taken off both curves
_APART = 3  # frames from the peak at which another lag is a rival


@dataclasses.dataclass(frozen=True)
class Offset:
  """What was measured.

  Attributes:
    frames: by which the sound is late (negative: early), to a fraction.
    confidence: how much higher the correlation is than at any lag three or more frames away; 0 if it is unknown.
  """

  frames: float = 0.0
  confidence: float = 0.0

  @property
  def whole(self) -> int:
    """The nearest whole number of frames."""
    return round(self.frames)


def mouth_opening(landmarks: np.ndarray) -> np.ndarray:
  """Returns float64[n]: distance of the inner lips (mean of three pairs), in shares of the median eye distance.

  Args:
    landmarks: float[n, 68, 2] in pixels of any scale.
  """
  points = np.asarray(landmarks, np.float64)
  lips = np.linalg.norm(points[:, 61:64] - points[:, [67, 66, 65]], axis=-1).mean(axis=1)
  eyes = np.linalg.norm(points[:, 36:42].mean(axis=1) - points[:, 42:48].mean(axis=1), axis=-1)
  return lips / max(float(np.median(eyes)), 1e-6)


def voice_level(waveform: np.ndarray) -> np.ndarray:
  """Returns float64[samples // 640]: how loud the voice is in each video frame, in mel units.

  Args:
    waveform: int16[samples], 16 kHz.
  """
  count = len(waveform) * FPS // AUDIO_RATE
  mel = audio_features.mel_spectrogram(waveform.astype(np.float32) / 32768).astype(np.float64)
  # A frame lasts 3.2 columns; the four around its middle, on average.
  first = np.round(3.2 * np.arange(count) + 0.1).astype(int)
  columns = mel[np.minimum(first[:, None] + np.arange(4), len(mel) - 1)][..., _BANDS].mean(axis=1)
  return np.maximum(columns, columns.max() - _DEPTH).mean(axis=1)


def correlations(opening: np.ndarray, level: np.ndarray, first: int = 0) -> np.ndarray:
  """Correlates a mouth with a voice at every lag of `LAGS`.

  Args:
    opening: float[n], of the mouth in each frame.
    level: float[m], of the voice in each frame from frame `first` on; more than the n frames help.
    first: at most 0.

  Returns:
    float64[31]; 0 where less than half of the frames can be compared, or nothing moves.
  """
  mouth, voice = without_slow(opening), without_slow(level)
  curve = np.zeros(len(LAGS))
  for k, lag in enumerate(LAGS):
    begin, end = max(0, first - lag), min(len(mouth), len(voice) + first - lag)
    if end - begin < max(2, len(mouth) / 2):
      continue
    seen = mouth[begin:end] - mouth[begin:end].mean()
    heard = voice[begin + lag - first : end + lag - first]
    heard = heard - heard.mean()
    norm = np.sqrt((seen @ seen) * (heard @ heard))
    curve[k] = seen @ heard / norm if norm > 1e-9 else 0.0
  return curve


def offset(curve: np.ndarray, frames: int) -> Offset:
  """Reads the peak of `correlations`, between lags by a parabola.

  Args:
    curve: float[31].
    frames: that were compared; fewer than `SHORTEST` give no confidence.
  """
  peak = int(np.argmax(curve))
  rivals = np.delete(curve, range(max(0, peak - _APART + 1), min(len(curve), peak + _APART)))
  confidence = float(curve[peak] - rivals.max())
  if frames < SHORTEST or confidence <= 0:
    return Offset()
  fraction = 0.0
  if 0 < peak < len(curve) - 1:
    before, top, after = curve[peak - 1 : peak + 2]
    bend = before - 2 * top + after
    fraction = 0.5 * (before - after) / bend if bend < 0 else 0.0
  return Offset(float(LAGS[peak] + fraction), confidence)


def measure(landmarks: np.ndarray, waveform: np.ndarray) -> Offset:
  """Returns the offset of a clip: float[n, 68, 2] and int16[640 n]."""
  if len(waveform) < AUDIO_RATE // FPS:
    return Offset()
  return offset(correlations(mouth_opening(landmarks), voice_level(waveform)), len(landmarks))


def resolve(curves: Sequence[np.ndarray], frames: Sequence[int], trust: float) -> list[Offset]:
  """Returns the offset of each clip of one video: its own if it is trusted, else that of all together.

  What is recorded in one go is late by the same time throughout, and a clip in which nobody speaks cannot tell.

  Args:
    curves: `correlations` of each clip.
    frames: of each clip.
    trust: confidence from which an offset is believed.
  """
  if not curves:
    return []
  own = [offset(curve, count) for curve, count in zip(curves, frames, strict=True)]
  together = offset(np.average(curves, axis=0, weights=frames), sum(frames))
  return [one if one.confidence >= max(trust, 1e-9) or together.confidence < trust else together for one in own]


def shift(offset: Offset, limits: Limits) -> int:
  """Returns by how many frames sound of this offset is moved earlier: 0 unless it is trusted, and within the limit."""
  trusted = offset.confidence > 0 and offset.confidence >= limits.trust
  return offset.whole if trusted and SMALLEST_SHIFT <= abs(offset.whole) <= limits.max_shift else 0


def without_slow(values: np.ndarray) -> np.ndarray:
  """Returns float64[n] less its mean over about a second around each frame."""
  values = np.asarray(values, np.float64)
  return values - scipy.ndimage.gaussian_filter1d(values, _SLOW, mode='nearest')
