"""Mel spectrograms and the per-frame windows that the audio encoder reads (Wav2Lip's settings).

Official code, audio.py and hparams.py; the windows are `get_mel` of its demos.
"""

import functools

import numpy as np

from data_pipeline.rates import AUDIO_RATE, FPS

N_FFT, HOP, WINDOW = 800, 200, 800  # samples
BANDS, LOWEST, HIGHEST = 80, 55.0, 7600.0  # mel bands; Hz
COLUMNS_PER_SECOND = AUDIO_RATE // HOP
WINDOW_COLUMNS = 16  # 200 ms: five video frames
_PREEMPHASIS = 0.97
_REFERENCE_DB, _FLOOR_DB, _RANGE = 20.0, -100.0, 4.0


def mel_spectrogram(waveform: np.ndarray, padding: str = 'reflect') -> np.ndarray:
  """Returns float32[columns, 80], values in [-4, 4], 80 columns per second; columns = 1 + samples // 200.

  Samples beyond the last whole video frame (640 samples) are ignored, as in the official code.

  Args:
    waveform: float32[samples] in [-1, 1], mono, 16 kHz; at least one video frame long.
    padding: what lies beyond both ends. The versions of librosa that the authors pinned reflect the signal; librosa
      0.10 changed its default to 'constant' (silence), which the golden numbers were computed with. Only the two
      columns at either end differ.
  """
  import librosa  # which takes a second; readers of records need the windows alone

  per_frame = AUDIO_RATE // FPS
  samples = np.asarray(waveform, np.float32)[: len(waveform) // per_frame * per_frame]
  if not len(samples):
    raise ValueError(f'waveform must hold at least {per_frame} samples, got {len(waveform)}')
  emphasised = samples.astype(np.float64)
  emphasised[1:] -= _PREEMPHASIS * samples[:-1].astype(np.float64)
  spectrum = librosa.stft(emphasised, n_fft=N_FFT, hop_length=HOP, win_length=WINDOW, pad_mode=padding)
  mel = mel_basis() @ np.abs(spectrum)
  decibels = 20 * np.log10(np.maximum(1e-5, mel)) - _REFERENCE_DB
  scaled = 2 * _RANGE * (decibels - _FLOOR_DB) / -_FLOOR_DB - _RANGE
  return np.clip(scaled, -_RANGE, _RANGE).T.astype(np.float32)


@functools.cache
def mel_basis() -> np.ndarray:
  """Returns the filter bank, float32[80, 401] (Slaney's scale and area normalisation)."""
  import librosa

  return librosa.filters.mel(sr=AUDIO_RATE, n_fft=N_FFT, n_mels=BANDS, fmin=LOWEST, fmax=HIGHEST)


def window_start(frame: int) -> int:
  """Returns the first mel column of a video frame's window; truncated towards zero, negative for frames 0 and 1."""
  return int(COLUMNS_PER_SECOND * ((frame - 2) / FPS))


def mel_windows(mel: np.ndarray, frames: np.ndarray) -> np.ndarray:
  """Returns float32[len(frames), 80, 16]: 200 ms around each video frame, edge columns repeated outside.

  Args:
    mel: float32[columns, 80].
    frames: int[...] numbers of video frames at 25 fps.
  """
  starts = np.array([window_start(int(frame)) for frame in frames], np.int64)
  columns = np.clip(starts[:, None] + np.arange(WINDOW_COLUMNS), 0, len(mel) - 1)
  return mel[columns].transpose(0, 2, 1)


def new_columns(frame: int) -> slice:
  """Which columns of its window a video frame adds to those of the frames before it.

  Over all frames of a sound these are all its columns, each once.
  """
  first, last = (1 + number * AUDIO_RATE // FPS // HOP for number in (frame, frame + 1))
  start = window_start(frame)
  return slice((first if frame else 0) - start, last - start)
