"""Which square a clip is cut from, and landmarks in its pixels.

One fixed square for each clip, as in the official scripts (FOMM's tube crop: the union of the face's boxes, enlarged),
but measured from landmarks, so that the framing does not depend on a detector's idea of a face: the union of brow to
chin, plus the forehead that no landmark marks, fills at most 0.70 of the height and 0.76 of the width, its centre at
0.54 of the height. The ratios are those of the 256-pixel examples that ship with EDTalk.
"""

import io
import itertools
from collections.abc import Sequence

import numpy as np
from PIL import Image

_HEIGHT_SHARE, _WIDTH_SHARE, _CENTRE = 0.70, 0.76, 0.54
# Height of the forehead over brow-to-chin. Measured on real clips: the median of crops by a full face mesh.
_FOREHEAD = 0.12
# A square video is kept whole when cropping would enlarge it by less than 1 / 0.85: it has been cropped before.
_KEEP_SHARE = 0.85
_SQUARE_TOLERANCE = 0.02


def crop_box(landmarks: np.ndarray, width: int, height: int) -> tuple[int, int, int]:
  """Returns the square (left, top, side) in pixels for the faces of a clip; always inside the frame.

  Args:
    landmarks: float32[frames, 68, 2], pixels of frames of `width` x `height`; no NaN.
    width, height: of the frame.
  """
  side, (x, y) = _wanted_square(landmarks)
  side = max(1, min(round(side), width, height))
  left = min(max(round(x - side / 2), 0), width - side)
  top = min(max(round(y - side * _CENTRE), 0), height - side)
  return left, top, side


def is_cropped(landmarks: np.ndarray, width: int, height: int) -> bool:
  """Whether frames are square and the face already fills them (arguments as `crop_box`): such videos are kept whole."""
  square = abs(width - height) <= _SQUARE_TOLERANCE * max(width, height)
  return square and _wanted_square(landmarks)[0] >= _KEEP_SHARE * min(width, height)


def _wanted_square(landmarks: np.ndarray) -> tuple[float, tuple[float, float]]:
  """Returns the side and the (x, y) of the face's centre."""
  left, top = landmarks.min(axis=(0, 1))
  right, bottom = landmarks.max(axis=(0, 1))
  top -= _FOREHEAD * (bottom - top)
  side = max((bottom - top) / _HEIGHT_SHARE, (right - left) / _WIDTH_SHARE)
  return float(side), (float(left + right) / 2, float(top + bottom) / 2)


def crop(frame: np.ndarray, box: tuple[int, int, int], size: int) -> np.ndarray:
  """Cuts the square (left, top, side) from uint8[H, W, 3] and resizes it to uint8[size, size, 3] (Lanczos)."""
  left, top, side = box
  if side == size:
    return frame[top:top + side, left:left + side]
  image = Image.fromarray(frame)
  return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS, (left, top, left + side, top + side)))


def to_crop(points: np.ndarray, box: tuple[int, int, int], size: int) -> np.ndarray:
  """Moves points float[..., 2] from pixels of the frame to pixels of the crop (pixel centres at whole numbers)."""
  left, top, side = box
  moved = (np.asarray(points, np.float64) + 0.5 - (left, top)) * (size / side) - 0.5
  return moved.astype(np.float32)


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
  """Returns uint8[H, W, 3] as JPEG (4:2:0 chroma)."""
  stream = io.BytesIO()
  Image.fromarray(image).save(stream, 'JPEG', quality=quality)
  return stream.getvalue()


def split_evenly(begin: int, end: int, longest: int) -> Sequence[tuple[int, int]]:
  """Cuts [begin, end) into the fewest ranges of at most `longest`, of lengths that differ by at most one."""
  count = max(1, -(-(end - begin) // longest))
  bounds = [begin + (end - begin) * k // count for k in range(count + 1)]
  return list(itertools.pairwise(bounds))
