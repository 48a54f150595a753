"""Examples of sight and sound: five consecutive frames, and the mel windows that belong to them.

Two kinds of window, both 200 ms long: the one *around* a frame, from which the audio encoder tells this frame's mouth,
and the one that *begins* with a frame, which the sync expert compares with the five frames that it spans (Wav2Lip).
`av_offset` of a record, by which its sound is known to be late, is taken out of both.
"""

import numpy as np

from data_pipeline import audio_features
from data_pipeline.index import ClipInfo
from data_pipeline.records import Clip

FRAMES = 5  # of a window
# Frames between the true window and one that counts as shifted. Nearer ones sound and look nearly alike; viewers
# detect lateness from 125 ms on (ITU-R BT.1359).
LEAST_SHIFT = 3
LEAST_FRAMES = FRAMES + 2 * LEAST_SHIFT  # of a clip, so that wherever a window lies another one is shifted against it


def usable(info: ClipInfo) -> bool:
  """Whether a clip has sound and enough frames."""
  return info.has_audio and info.frames >= LEAST_FRAMES


def around(clip: Clip, frames: np.ndarray) -> np.ndarray:
  """Returns the mel windows around frames, float32[len(frames), 80, 16].

  Where the sound is known to be late, later ones are taken; beyond the clip the last one goes on.
  """
  return audio_features.mel_windows(clip.mel, np.clip(np.asarray(frames) + clip.record.av_offset, 0, len(clip) - 1))


def beginning(clip: Clip, frames: np.ndarray) -> np.ndarray:
  """Returns the mel windows that begin with frames, float32[len(frames), 80, 16]."""
  return around(clip, np.asarray(frames) + FRAMES // 2)


def boxes(clip: Clip, frames: np.ndarray, size: int) -> np.ndarray:
  """Returns the detector's face boxes of frames, float32[len(frames), 4], in pixels of frames of side `size`."""
  return clip.face_boxes(size)[frames]


def starts(clip: Clip) -> int:
  """Returns how many windows of frames a clip holds; they begin with frames 0, 1, ..."""
  return len(clip) - FRAMES + 1


def sync_expert(population, draw, options) -> dict[str, np.ndarray]:
  """Five frames with their sound, and sound of the same clip that is shifted by at least `LEAST_SHIFT` frames (ours).

  Wav2Lip tosses a coin between the two; here every example has both, as the frames are what costs.
  """
  clip = population.clip(draw.clip)
  first = int(draw.rng.integers(starts(clip)))
  others = [k for k in range(starts(clip)) if abs(k - first) >= LEAST_SHIFT]
  other = others[draw.rng.integers(len(others))]
  mel, shifted = beginning(clip, np.array([first, other]))
  return {**_seen(clip, first, options.size), 'mel': mel, 'shifted_mel': shifted}


def audio_to_mouth(population, draw, options) -> dict[str, np.ndarray]:
  """Five frames with the mel windows around each, the window that begins with the first, and a portrait of the clip."""
  clip = population.clip(draw.clip)
  first, source = int(draw.rng.integers(starts(clip))), int(draw.rng.integers(len(clip)))
  frames = np.arange(first, first + FRAMES)
  seen = _seen(clip, first, options.size)
  origin = np.concatenate([[f'source={clip.clip_id}:{source}'], seen['origin']])
  return {
    **seen,
    'source': clip.frame(source, options.size),
    'mel': around(clip, frames),
    'sync_mel': beginning(clip, frames[:1])[0],
    'origin': origin,
  }


def _seen(clip: Clip, first: int, size: int) -> dict[str, np.ndarray]:
  """The pictures of a window, uint8[5, size, size, 3], and the face boxes in them, float32[5, 4]."""
  frames = np.arange(first, first + FRAMES)
  origin = np.array([f'frame_{k}={clip.clip_id}:{number}' for k, number in enumerate(frames)])
  return {
    'frames': np.stack([clip.frame(int(k), size) for k in frames]),
    'boxes': boxes(clip, frames, size),
    'origin': origin,
  }
