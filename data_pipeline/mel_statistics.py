"""Statistics of a mel spectrogram that comes in pieces: memory does not grow with the length of a sound."""

import numpy as np

from data_pipeline.audio_features import BANDS
from data_pipeline.semantics import QUIET

_LOW, _HIGH = -4.0, 4.0  # what mel values are clipped to
_BINS = 8192  # of the histograms, by which quantiles are off by 1e-3 at most


class MelStatistics:
  """`semantics.mel_statistics` of columns that are fed in any pieces; all but the quantiles to rounding."""

  def __init__(self):
    """Begins with no columns."""
    self._spoken, self._all = _Columns(), _Columns()

  def feed(self, mel: np.ndarray) -> None:
    """Takes the next columns, float32[columns, 80]."""
    self._all.feed(mel)
    self._spoken.feed(mel[mel.mean(1) > QUIET])

  def result(self) -> np.ndarray:
    """Returns float32[400], as `semantics.mel_statistics` does. Raises ValueError if nothing was fed."""
    return (self._spoken if self._spoken.count > 1 else self._all).statistics()


class _Columns:
  """Sums over columns float32[n, 80], and a histogram of each band."""

  def __init__(self):
    self.count = 0
    self._sum, self._squares, self._change = np.zeros((3, BANDS))
    self._histogram = np.zeros((BANDS, _BINS), np.int32)
    self._last = np.zeros((0, BANDS), np.float32)

  def feed(self, mel: np.ndarray) -> None:
    self.count += len(mel)
    self._sum += mel.sum(0, dtype=np.float64)
    self._squares += np.square(mel, dtype=np.float64).sum(0)
    together = np.concatenate([self._last, mel])
    self._change += np.abs(np.diff(together, axis=0)).sum(0, dtype=np.float64)
    bins = ((mel - _LOW) * (_BINS / (_HIGH - _LOW))).astype(np.int64).clip(0, _BINS - 1)
    np.add.at(self._histogram, (np.arange(BANDS), bins), 1)
    self._last = together[-1:]

  def statistics(self) -> np.ndarray:
    if not self.count:
      raise ValueError('a sound must have at least one column, got none')
    mean = self._sum / self.count
    deviation = np.sqrt(np.maximum(0, self._squares / self.count - mean**2))
    change = self._change / max(1, self.count - 1)
    return np.concatenate([mean, deviation, change, self._quantile(0.5), self._quantile(0.9)]).astype(np.float32)

  def _quantile(self, share: float) -> np.ndarray:
    """Linear between the values before and after it in their order, as NumPy has it."""
    rank = share * (self.count - 1)
    up_to = np.cumsum(self._histogram, axis=1)
    before, after = (_LOW + ((up_to <= k).sum(1) + 0.5) * (_HIGH - _LOW) / _BINS for k in (int(rank), np.ceil(rank)))
    return before + (rank - int(rank)) * (after - before)
