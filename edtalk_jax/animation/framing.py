"""Portraits and drivers as the model knows faces: square, framed as the training clips are."""

import bisect
import os
from collections.abc import Iterator

import numpy as np
import PIL.Image
import PIL.ImageOps

from data_pipeline import cropping, faces, media, tracking
from data_pipeline.errors import DataError
from edtalk_jax.config import UserError

Square = tuple[int, int, int]  # left, top, side, in pixels of the frame


def find_faces() -> faces.LandmarkDetector:
  """Returns the detector of the training data. Raises UserError where the extra that it needs is missing."""
  try:
    return faces.LandmarkDetector()
  except DataError:
    raise UserError('finding faces needs the extra [faces]: pip install "edtalk-jax[faces]"; '
                    'or give pictures that are cropped already and --no-crop') from None


def portrait(path: str | os.PathLike, size: int, detector: tracking.Detector | None) -> np.ndarray:
  """Reads a portrait (of a video: its first frame) as uint8[size, size, 3].

  Args:
    path: image or video.
    size: of the model.
    detector: finds the face, of several the largest, which is framed as a training clip would be; a picture that is
      framed like that already is kept whole. None: the largest centred square.

  Raises:
    DataError: if the file cannot be read, or the detector finds no face.
  """
  image = _image(path)
  if image is None:
    image = next(iter(media.read_frames(path)))
  height, width = image.shape[:2]
  if detector is None:
    return cropping.crop(image, _centre(width, height), size)
  boxes = detector.boxes(image)
  if not len(boxes):
    raise DataError(f'{path}: no face found; --no-crop takes the picture as it is')
  largest = boxes[np.argmax(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))]
  return cropping.crop(image, _square(detector.landmarks_in(image, largest)[None], width, height), size)


def driver_frames(path: str | os.PathLike, size: int, detector: tracking.Detector | None) -> Iterator[np.ndarray]:
  """Yields the frames of a driver (an image is a video of one) at 25 per second, uint8[size, size, 3].

  With a detector the video is read twice: first to follow the face, of several the largest and longest seen, then to
  cut it out. One square serves each appearance of the face, up to the next shot, as the crop must not follow the head
  that is to drive. Frames without a face take the square of the appearance before them.

  Args:
    path: video or image.
    size: of the model.
    detector: as in `portrait`.

  Raises:
    DataError: if the file cannot be read, or the detector finds no face in it.
  """
  image = _image(path)
  if image is not None:
    yield portrait(path, size, detector)
    return
  begins, squares = [0], [None]
  if detector is not None:
    begins, squares = _follow(path, detector)
  for index, frame in enumerate(media.read_frames(path)):
    square = squares[max(0, bisect.bisect_right(begins, index) - 1)]
    height, width = frame.shape[:2]
    yield cropping.crop(frame, square or _centre(width, height), size)


def _follow(path, detector: tracking.Detector) -> tuple[list[int], list[Square]]:
  """Returns the first frame and the square of each appearance of the main face."""
  shape = (0, 0)

  def watched():
    nonlocal shape
    for frame in media.read_frames(path):
      shape = frame.shape[:2]
      yield frame

  tracks, count = tracking.track_faces(watched(), detector)
  chosen = tracking.choose_tracks(tracks)
  if not chosen:
    raise DataError(f'{path}: no face found in {count} frames; --no-crop takes the pictures as they are')
  height, width = shape
  squares = [_square(np.stack([p for p in track.landmarks if p is not None]), width, height) for track in chosen]
  return [track.begin for track in chosen], squares


def _square(landmarks: np.ndarray, width: int, height: int) -> Square:
  if cropping.is_cropped(landmarks, width, height):
    return _centre(width, height)
  return cropping.crop_box(landmarks, width, height)


def _centre(width: int, height: int) -> Square:
  side = min(width, height)
  return (width - side) // 2, (height - side) // 2, side


def _image(path) -> np.ndarray | None:
  """Reads a still image upright as uint8[height, width, 3]; None if the file is none (a video, or not there)."""
  try:
    with PIL.Image.open(path) as image:
      if getattr(image, 'is_animated', False):
        return None
      return np.asarray(PIL.ImageOps.exif_transpose(image).convert('RGB'))
  except OSError:  # Pillow's UnidentifiedImageError is one
    return None
