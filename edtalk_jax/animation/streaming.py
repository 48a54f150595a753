"""A portrait that speaks while the sound still comes."""

import numpy as np

from data_pipeline.media import FPS
from edtalk_jax.animation import timeline
from edtalk_jax.model import Model, Motion, Source


class Stream:
  """Sound in, frames out, 25 a second: bit by bit those of the whole sound, however it is cut.

  Memory does not grow with the length of the sound.

  Attributes:
    latency: seconds from a sound to the frame in which it is heard, at most, without the time of computing. It is that
      of `Listener`, and of waiting until `model.batch_size` frames can be painted in one call; a model loaded with
      `batch_size=1` has the least, 0.2 s.
  """

  def __init__(
    self, model: Model, portrait: Source, rate: int, motion: Motion | None = None, extend: timeline.Extend = 'pingpong'
  ):
    """Begins at the first sample.

    Args:
      model: that hears and paints.
      portrait: from `model.encode`.
      rate: samples per second of what will be fed.
      motion: bank name -> weights float32[frames, size] of the other banks, 25 a second; banks left out keep the
        portrait's own motion.
      extend: how `motion` goes on where the sound is longer.

    Raises:
      UserError: if the model does not hear.
      ValueError: on a rate that is no sound's, or motion that drives the mouth as well or has no frames.
    """
    if motion and ('mouth' in motion or not all(map(len, motion.values()))):
      raise ValueError('motion must hold frames of other banks than mouth')
    self._model, self._portrait, self._motion, self._extend = model, portrait, dict(motion or {}), extend
    self._listener = model.listener(rate)
    self._waiting: list[np.ndarray] = []  # weights of fewer frames than a batch
    self._painted = 0  # frames
    self.latency = self._listener.latency + (model.batch_size - 1) / FPS

  def feed(self, samples: np.ndarray) -> np.ndarray:
    """Takes the next samples, float[n] in [-1, 1], mono. Returns the frames that can be painted now.

    Returns:
      uint8[frames, size, size, 3]; frames may be 0.

    Raises:
      ValueError: on samples of another shape or type, or that are not finite.
    """
    return self._paint(self._listener.feed(samples), self._model.batch_size)

  def finish(self) -> np.ndarray:
    """Ends the sound. Returns the frames that remain, as `feed` does."""
    return self._paint(self._listener.finish(), 1)

  def _paint(self, weights: np.ndarray | None, multiple: int) -> np.ndarray:
    """Paints as many of the waiting frames as are a multiple of `multiple`."""
    if weights is not None:
      self._waiting.append(weights)
    waiting = np.concatenate(self._waiting) if self._waiting else np.zeros((0, 0), np.float32)
    count = len(waiting) // multiple * multiple
    size = self._model.image_size
    if not count:
      return np.zeros((0, size, size, 3), np.uint8)
    motion = {'mouth': waiting[:count]}
    for bank, values in self._motion.items():
      motion[bank] = values[timeline.extended(len(values), count, self._extend, self._painted)]
    self._waiting = [waiting[count:]]
    self._painted += count
    return self._model.generate(self._portrait, motion)
