"""Embeddings of the lips and the sound of a video, window by window, for `synchrony.measure`."""

import functools
import pathlib
from collections.abc import Callable

import jax
import numpy as np
import PIL.Image

from data_pipeline import audio_features
from edtalk_jax.evaluation import synchrony
from edtalk_jax.evaluation.judges import syncnet
from edtalk_jax.evaluation.judges.layers import Arrays
from edtalk_jax.networks import sync_expert
from edtalk_jax.weights import files, from_official

# uint8[n, size, size, 3], float[n, 4] face boxes in their pixels, float32[samples] at 16 kHz from the first frame on
# -> embeddings of lips and sound, float32[windows, features] each
Embed = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
BATCH = 8  # windows per call


def by_syncnet(arrays: Arrays) -> Embed:
  """SyncNet sees whole frames, resized to 224 pixels (as in EAT's evaluation), and the cepstrum."""
  arrays = jax.device_put(dict(arrays))
  lips, sound = (functools.partial(jax.jit(part), arrays) for part in (syncnet.lips, syncnet.sound))

  def embed(frames: np.ndarray, boxes: np.ndarray, waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pictures = np.stack([_resized(frame, syncnet.SIDE) for frame in frames])[..., ::-1].astype(np.float32)
    cepstrum = synchrony.cepstrum(32768 * waveform).astype(np.float32)
    starts = range(synchrony.windows(len(frames), len(waveform)))
    faces = _in_batches(lips, [pictures[k : k + syncnet.FRAMES] for k in starts])
    return faces, _in_batches(sound, [cepstrum[4 * k : 4 * k + syncnet.COLUMNS].T for k in starts])

  return embed


def by_expert(path: pathlib.Path) -> Embed:
  """The sync expert sees the lower half of the face box at 96 pixels, and the mel spectrogram.

  Raises:
    ValueError: in one line, if the file holds something else.
  """
  config, variables = from_official(files.read(path, 'sync expert', ['state_dict']), 'syncnet')
  network = sync_expert.SyncExpert(config.width)
  both = functools.partial(jax.jit(network.apply), jax.device_put(variables))

  def embed(frames: np.ndarray, boxes: np.ndarray, waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    faces = np.stack([_resized(frame, sync_expert.FACE_SIZE, box) for frame, box in zip(frames, boxes, strict=True)])
    faces = faces[..., ::-1].astype(np.float32) / 255
    mel, starts = audio_features.mel_spectrogram(waveform), range(synchrony.windows(len(frames), len(waveform)))
    sounds = audio_features.mel_windows(mel, np.array([k + 2 for k in starts]))  # a window begins 2 frames before
    pictures = [faces[k : k + sync_expert.FRAMES] for k in starts]
    found = [both(*chunk) for chunk in zip(_chunks(sounds), _chunks(pictures), strict=True)]
    sound, lips = (np.concatenate(parts)[: len(starts)] for parts in zip(*found, strict=True))
    return lips, sound

  return embed


def _resized(frame: np.ndarray, side: int, box: np.ndarray | None = None) -> np.ndarray:
  """The frame, or its part in `box` (left, top, right, bottom), as uint8[side, side, 3]."""
  image = PIL.Image.fromarray(frame)
  if box is not None:
    left, top, right, bottom = np.clip(box, 0, frame.shape[0])
    return np.asarray(image.resize((side, side), PIL.Image.Resampling.BILINEAR, (left, top, right, bottom)))
  return np.asarray(image.resize((side, side), PIL.Image.Resampling.BILINEAR))


def _chunks(rows: list[np.ndarray] | np.ndarray) -> list[np.ndarray]:
  """BATCH rows at a time; the last ones are filled up, so that a network compiles once."""
  chunks = [np.stack(list(rows[first : first + BATCH])) for first in range(0, len(rows), BATCH)]
  return [np.concatenate([c, np.repeat(c[-1:], BATCH - len(c), axis=0)]) for c in chunks]


def _in_batches(function: Callable, rows: list[np.ndarray]) -> np.ndarray:
  return np.concatenate([np.asarray(function(chunk)) for chunk in _chunks(rows)])[: len(rows)]
