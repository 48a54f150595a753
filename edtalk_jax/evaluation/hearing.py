"""What a model hears in a clip."""

import numpy as np

from data_pipeline.media import AUDIO_RATE
from data_pipeline.records import Clip
from edtalk_jax.model import Model


def mouth_weights(model: Model, clip: Clip) -> np.ndarray:
  """The mouth weights that the clip's sound gives for each of its frames, float32[frames, size].

  The clip's audio-video offset is taken out; frames beyond the sound keep the last weights.
  """
  heard = model.motion_from_audio(clip.waveform, AUDIO_RATE)['mouth']
  return heard[np.clip(np.arange(len(clip)) + clip.record.av_offset, 0, len(heard) - 1)]
