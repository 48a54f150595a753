"""Portraits and drivers as the model knows faces: square, framed as the training clips are."""

import bisect
import dataclasses
import itertools
import os
from collections.abc import Iterator

import numpy as np
import PIL.Image

from data_pipeline import cropping, faces, media, tracking
from data_pipeline.errors import DataError
from edtalk_jax.animation import pictures
from edtalk_jax.config import UserError

Square = tuple[int, int, int]  # left, top, side, in pixels of the picture
LARGEST, ONLY = 'largest', 'only'
_STORED = 256  # pixels: side of the frames that `edtalk prepare` keeps


@dataclasses.dataclass(frozen=True)
class Framed:
  """A picture and the face in it.

  Attributes:
    picture: uint8[height, width, 3], sides even.
    square: what is cut from it.
    crop: the square as the model sees it, uint8[size, size, 3].
  """

  picture: np.ndarray
  square: Square
  crop: np.ndarray


def find_faces() -> faces.LandmarkDetector:
  """Returns the detector of the training data. Raises UserError where the extra that it needs is missing."""
  try:
    return faces.LandmarkDetector()
  except DataError:
    raise UserError(
      'finding faces needs the extra [faces]: pip install "edtalk-jax[faces]"; '
      'or give pictures that are cropped already and --no-crop'
    ) from None


def is_picture(path: str | os.PathLike) -> bool:
  """Whether a file is a still picture. Raises DataError if it is a damaged one."""
  return pictures.read(path) is not None


def portrait(
  path: str | os.PathLike,
  size: int,
  detector: tracking.Detector | None,
  face: str = LARGEST,
  longest: int | None = None,
) -> Framed:
  """Reads a portrait and frames its face.

  Args:
    path: image.
    size: of the model.
    detector: finds the face, which is framed as a training clip would be; a picture that is framed like that already is
      kept whole. None: the largest centred square.
    face: which of several: 'largest', 'only' (several are an error), or a number from 1, counted from left to right.
    longest: larger pictures are scaled down until they are no wider and no higher.

  Raises:
    DataError: if the file cannot be read, or the detector does not find that face.
  """
  picture = pictures.read(path)
  if picture is None:
    raise DataError(f'{path}: is no picture that can be read')
  picture = pictures.limited(picture, longest)
  height, width = picture.shape[:2]
  if detector is None:
    return _framed(picture, _centre(width, height), size)
  box = _choose(detector.boxes(picture), face, path)
  return _framed(picture, _square(detector.landmarks_in(picture, box)[None], width, height), size)


def _choose(boxes: np.ndarray, face: str, path) -> np.ndarray:
  """Returns one of the boxes float32[faces, 4]."""
  if not len(boxes):
    raise DataError(f'{path}: no face found; --no-crop takes the picture as it is')
  if face == LARGEST:
    return boxes[np.argmax(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))]
  if face == ONLY:
    if len(boxes) > 1:
      raise DataError(
        f'{path}: shows {len(boxes)} faces; choose one by --face 1 to {len(boxes)}, from left to right, '
        'or --face largest'
      )
    return boxes[0]
  if int(face) > len(boxes):
    raise DataError(f'{path}: --face {face}, but {len(boxes)} faces were found')
  return boxes[np.argsort(boxes[:, 0] + boxes[:, 2])[int(face) - 1]]


@dataclasses.dataclass(frozen=True)
class Followed:
  """A video and where its main face is.

  One square serves each appearance of the face, up to the next shot, as the crop must not follow the head that is to
  drive. Frames without a face take the square of the appearance before them.

  Attributes:
    path: of the video.
    fps: frames per second at which it is read.
    longest: larger frames are scaled down until they are no wider and no higher; None: none are.
    frames: how many there are.
    begins: first frame of each appearance.
    squares: of each appearance.
  """

  path: str
  fps: float
  longest: int | None
  frames: int
  begins: tuple[int, ...]
  squares: tuple[Square, ...]

  def square(self, index: int) -> Square:
    """Returns what is cut from a frame."""
    return self.squares[max(0, bisect.bisect_right(self.begins, index) - 1)]

  def pictures(self) -> Iterator[np.ndarray]:
    """Yields the frames uint8[height, width, 3], sides even and all of one size."""
    return _pictures(self.path, self.fps, self.longest)

  def framed(self, index: int, picture: np.ndarray, size: int) -> Framed:
    """Frames the face of a frame for a model of `size` pixels."""
    return _framed(picture, self.square(index), size)


def follow(
  path: str | os.PathLike, detector: tracking.Detector | None, fps: float = media.FPS, longest: int | None = None
) -> Followed:
  """Reads a video once to find its main face: of several the largest and longest seen.

  Args:
    path: video.
    detector: as in `portrait`.
    fps: frames per second at which it is read.
    longest: as in `portrait`.

  Raises:
    DataError: if the file cannot be read, or the detector finds no face in it.
  """
  frames = _pictures(path, fps, longest)
  first = next(frames)
  height, width = first.shape[:2]
  if detector is None:
    return Followed(os.fspath(path), fps, longest, 1 + sum(1 for _ in frames), (0,), (_centre(width, height),))
  tracks, count = tracking.track_faces(itertools.chain([first], frames), detector)
  chosen = tracking.choose_tracks(tracks)
  if not chosen:
    raise DataError(f'{path}: no face found in {count} frames; --no-crop takes the pictures as they are')
  squares = [_square(np.stack([p for p in track.landmarks if p is not None]), width, height) for track in chosen]
  return Followed(os.fspath(path), fps, longest, count, tuple(track.begin for track in chosen), tuple(squares))


def driver_frames(
  path: str | os.PathLike, size: int, detector: tracking.Detector | None, fps: float = media.FPS
) -> Iterator[np.ndarray]:
  """Yields the frames of a driver, uint8[size, size, 3]: the face of a video that `follow` finds, or of an image.

  Without a detector a video is read only once, and the largest centred square is taken.

  Raises:
    DataError: as `portrait` and `follow`.
  """
  if is_picture(path):
    yield portrait(path, size, detector).crop
    return
  if detector is None:
    for picture in _pictures(path, fps, None):
      height, width = picture.shape[:2]
      yield _framed(picture, _centre(width, height), size).crop
    return
  followed = follow(path, detector, fps)
  for index, picture in enumerate(followed.pictures()):
    yield followed.framed(index, picture, size).crop


def _pictures(path, fps: float, longest: int | None) -> Iterator[np.ndarray]:
  """Yields the frames of a video, all of one size."""
  shape = None
  for frame in media.read_frames(path, fps):
    shape = shape or frame.shape
    pictures.check_size(path, frame.shape[1], frame.shape[0])
    if frame.shape != shape:
      raise DataError(
        f'{path}: its pictures change their size, from {shape[1]}x{shape[0]} pixels to '
        f'{frame.shape[1]}x{frame.shape[0]}'
      )
    yield pictures.limited(frame, longest)


def _framed(picture: np.ndarray, square: Square, size: int) -> Framed:
  # In two steps, as in training: records are cut at their own size, and read at the model's.
  crop = cropping.crop(picture, square, max(size, _STORED) if square[2] > size else size)
  if len(crop) != size:
    crop = np.asarray(PIL.Image.fromarray(crop).resize((size, size), PIL.Image.Resampling.BILINEAR))
  return Framed(picture, square, crop)


def _square(landmarks: np.ndarray, width: int, height: int) -> Square:
  if cropping.is_cropped(landmarks, width, height):
    return _centre(width, height)
  return cropping.crop_box(landmarks, width, height)


def _centre(width: int, height: int) -> Square:
  side = min(width, height)
  return (width - side) // 2, (height - side) // 2, side
