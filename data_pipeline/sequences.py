"""Examples that are stretches of time: sound, and how the head moves to it."""

import numpy as np

from data_pipeline import windows
from data_pipeline.index import ClipInfo


def with_sound(info: ClipInfo) -> bool:
  """Whether a clip can be used: it has sound and two frames, which is a motion."""
  return info.has_audio and info.frames > 1


def pose_sequence(population, draw, options) -> dict[str, np.ndarray]:
  """A stretch of `options.frames` frames of one clip, begun anywhere; zeros follow where the clip is shorter.

  Returns:
    pose: float32[frames, size] weights.
    mel: float32[frames, 80, 16], the sound around each frame.
    length: int32, frames that the clip has.
    noise: float32[frames, size], standard normal, for the samples that losses look at: an example brings its own, so
      that a step is a function of parameters and batch.
    origin: the clip and its frames.
  """
  clip = population.clip(draw.clip)
  weights = population.motion.weights(clip.clip_id)['pose']
  length = min(len(weights), options.frames)
  begin = int(draw.rng.integers(len(weights) - length + 1))
  pad = options.frames - length
  padded = lambda array: np.pad(array, ((0, pad), *((0, 0),) * (array.ndim - 1)))
  frames = np.arange(begin, begin + length)
  return {
    'pose': padded(weights[frames].astype(np.float32)),
    'mel': padded(windows.around(clip, frames)),
    'length': np.int32(length),
    'noise': draw.rng.standard_normal((options.frames, weights.shape[1]), np.float32),
    'origin': np.array([f'pose={clip.clip_id}:{begin}-{begin + length - 1}']),
  }
