"""Mel windows of sound that is still coming, block by block: memory and delay do not depend on its length.

Blocks lie on a fixed grid of video frames and each is computed from samples that the grid names, so that the windows
are the same bit by bit however the sound arrives, in one piece or in many.
"""

import math
from collections.abc import Iterator

import numpy as np

from data_pipeline import audio_features
from data_pipeline.audio_features import HOP, N_FFT, WINDOW_COLUMNS
from data_pipeline.media import AUDIO_RATE, FPS

_PER_FRAME = AUDIO_RATE // FPS  # samples
# Pieces begin and end where both a video frame and a mel column do.
_STEP = math.lcm(_PER_FRAME, HOP)
_MARGIN = 4  # columns before a piece's first good one: the sound before it is missing from the first three


class MelStream:
  """Cuts sound into mel windows, those of `audio_features.mel_windows`.

  Attributes:
    block: video frames that are computed together.
  """

  def __init__(self, block: int = 8):
    """Begins at the first sample."""
    if block < 1:
      raise ValueError(f'block must be at least 1, got {block}')
    self.block = block
    self._samples = np.zeros(0, np.float32)
    self._begin = 0  # position of the first sample that is held
    self._frame = 0  # first video frame of the next block

  @property
  def delay(self) -> float:
    """Seconds of sound that must have come after the beginning of a block's first frame before it is computed."""
    frame = 1000 * self.block  # far from the beginning, where fewer samples are needed
    return max(
      (self._stop(frame + k * self.block) - (frame + k * self.block) * _PER_FRAME) / AUDIO_RATE
      for k in range(_STEP // HOP)
    )

  def feed(self, samples: np.ndarray) -> Iterator[np.ndarray]:
    """Takes the next samples, float32 in [-1, 1], mono, 16 kHz. Yields windows float32[block, 80, 16]."""
    self._samples = np.concatenate([self._samples, np.asarray(samples, np.float32)])
    while self._begin + len(self._samples) >= (stop := self._stop(self._frame)):
      yield self._windows(stop, self.block)

  def finish(self) -> Iterator[np.ndarray]:
    """Yields windows float32[<= block, 80, 16] of the frames that remain, but for a last one that is not whole."""
    total = (self._begin + len(self._samples)) // _PER_FRAME
    while (count := min(self.block, total - self._frame)) > 0:
      yield self._windows(min(self._stop(self._frame), total * _PER_FRAME), count)

  def _start(self, frame: int) -> int:
    """The first sample of the piece that the block beginning at `frame` is computed from."""
    return max(0, audio_features.window_start(frame) - _MARGIN) * HOP // _STEP * _STEP

  def _stop(self, frame: int) -> int:
    """One past its last sample."""
    last = audio_features.window_start(frame + self.block - 1) + WINDOW_COLUMNS - 1
    return -(-(last * HOP + N_FFT // 2) // _PER_FRAME) * _PER_FRAME

  def _windows(self, stop: int, count: int) -> np.ndarray:
    start = self._start(self._frame)
    samples = self._samples[start - self._begin : stop - self._begin]
    if len(samples) < N_FFT:  # one frame is all there is: too little to be reflected, so silence follows
      samples = np.pad(samples, (0, _PER_FRAME))
    mel = audio_features.mel_spectrogram(samples)
    first = start // HOP  # number of the piece's first column
    starts = np.array([audio_features.window_start(self._frame + k) for k in range(count)])
    columns = np.clip(starts[:, None] + np.arange(WINDOW_COLUMNS) - first, 0, len(mel) - 1)
    self._frame += self.block
    keep = self._start(self._frame)
    if keep > self._begin:
      self._samples, self._begin = self._samples[keep - self._begin :], keep
    return mel[columns].transpose(0, 2, 1)
