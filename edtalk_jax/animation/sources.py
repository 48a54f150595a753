"""What is animated: a portrait, or a video whose every frame is one."""

import os
from collections.abc import Callable, Iterator

import numpy as np

from data_pipeline import tracking
from edtalk_jax.animation import framing, pasting, timeline
from edtalk_jax.animation.drivers import batches
from edtalk_jax.animation.options import Options
from edtalk_jax.animation.spool import Spool
from edtalk_jax.model import Model, Motion, Source

Finish = Callable[[np.ndarray], np.ndarray]  # done to a painted face, uint8[height, width, 3], before it is shown


def read(
  model: Model, path: str, detector: tracking.Detector | None, options: Options, finish: Finish = lambda face: face
) -> 'Portrait | Video':
  """Opens a source: finds its face and, of a portrait, encodes it.

  Raises:
    data_pipeline.errors.DataError: on a file that cannot be read or shows no face.
  """
  kind = Portrait if framing.is_picture(path) else Video
  return kind(model, path, detector, options, finish)


class Portrait:
  """One picture, encoded once.

  Attributes:
    path: of the image.
    frames: 0: it is as long as its drivers are.
  """

  frames = 0

  def __init__(self, model: Model, path: str, detector: tracking.Detector | None, options: Options, finish: Finish):
    """Reads and encodes the picture."""
    self.path, self._model, self._options, self._finish = os.fspath(path), model, options, finish
    self._framed = framing.portrait(path, model.image_size, detector, options.face, options.limit)
    self._source = model.encode(self._framed.crop)

  def painted(self, motion: Motion) -> Iterator[np.ndarray]:
    """Yields the frames uint8[height, width, 3] of motion weights."""
    for face in paint(self._model, self._source, motion):
      yield _shown(self._framed, self._finish(face), self._options)


class Video:
  """A video whose face is painted anew in every frame: mostly with another mouth.

  Attributes:
    path: of the video.
    frames: how many there are.
  """

  def __init__(self, model: Model, path: str, detector: tracking.Detector | None, options: Options, finish: Finish):
    """Follows the face through the video."""
    self.path, self._model, self._options, self._finish = os.fspath(path), model, options, finish
    self._followed = framing.follow(path, detector, options.fps, options.limit)
    self.frames = self._followed.frames

  def painted(self, motion: Motion) -> Iterator[np.ndarray]:
    """Yields the frames uint8[height, width, 3] of motion weights; each frame is the portrait of its own."""
    first, size = 0, self._model.batch_size
    for batch in batches(self._played(len(next(iter(motion.values())))), size):
      part = {bank: values[first : first + len(batch)] for bank, values in motion.items()}
      first += len(batch)
      faces = self._model.repaint(np.stack([framed.crop for framed in batch]), part)
      for framed, face in zip(batch, faces, strict=True):
        yield _shown(framed, self._finish(face), self._options)

  def _played(self, count: int) -> Iterator[framing.Framed]:
    """Yields `count` frames, extended as the options say."""
    backwards = self._options.extend == 'pingpong' and count > self.frames
    with Spool() as spool:
      pictures, position, picture = self._followed.pictures(), -1, None
      for index in timeline.extended(self.frames, count, self._options.extend).tolist():
        if index < len(spool):
          picture = spool[index]
        else:
          if index < position:  # from the start again
            pictures, position = self._followed.pictures(), -1
          while position < index:
            picture, position = next(pictures), position + 1
            if backwards:
              spool.append(picture)
        yield self._followed.framed(index, picture, self._model.image_size)


def paint(model: Model, portrait: Source, motion: Motion) -> Iterator[np.ndarray]:
  """Yields the frames uint8[size, size, 3] of motion weights, painted `model.batch_size` at a time."""
  count = len(next(iter(motion.values())))
  for first in range(0, count, model.batch_size):
    part = {bank: values[first : first + model.batch_size] for bank, values in motion.items()}
    yield from model.generate(portrait, part)


def _shown(framed: framing.Framed, face: np.ndarray, options: Options) -> np.ndarray:
  return pasting.paste(framed.picture, framed.square, face) if options.paste else face
