"""Which square a clip is cut from, and landmarks in its pixels.

One fixed square for each clip, as in the official scripts (FOMM's tube crop: the union of the face's boxes, enlarged),
but measured from landmarks, so that the framing does not depend on a detector's idea of a face: the union of brow to
chin, plus the forehead that no landmark marks, fills at most 0.70 of the height and 0.76 of the width, its centre at
0.54 of the height. The ratios are those of the 256-pixel examples that ship with EDTalk.

Two other squares are options: FOMM's own ('tube': the union of the detector's boxes, enlarged), and the one in which
the landmarks lie on a template on average ('template': as the official script frames portraits, but without a turn).
"""

import io
import itertools
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from data_pipeline.errors import DataError

_HEIGHT_SHARE, _WIDTH_SHARE, _CENTRE = 0.70, 0.76, 0.54
# Height of the forehead over brow-to-chin. Measured on real clips: the median of crops by a full face mesh.
_FOREHEAD = 0.12
# A square video is kept whole when cropping would enlarge it by less than 1 / 0.85: it has been cropped before.
_KEEP_SHARE = 0.85
_SQUARE_TOLERANCE = 0.02
_TUBE_SIDE = 1.2  # of the longer side of the boxes' union (official code, crop_video.py, increase = 0.1)
_STEADY_POINTS = 47  # jaw, brows, nose and eyes but for a corner: what the official template is fitted to

FACE, TUBE, TEMPLATE = CROPS = ('face', 'tube', 'template')


def crop_box(landmarks: np.ndarray, width: int, height: int) -> tuple[int, int, int]:
  """Returns the square (left, top, side) in pixels for the faces of a clip; always inside the frame.

  Args:
    landmarks: float32[frames, 68, 2], pixels of frames of `width` x `height`; no NaN.
    width, height: of the frame.
  """
  side, (x, y) = _wanted_square(landmarks)
  return _inside(x, y, side, _CENTRE, width, height)


def tube_box(boxes: np.ndarray, width: int, height: int) -> tuple[int, int, int]:
  """Returns the square (left, top, side) of FOMM's tube crop, inside the frame (official code, crop_video_HDTF.py).

  Where the square would leave the frame, the official one is cut and then stretched to a square; ours is moved and, if
  the frame is too small, shrunk.

  Args:
    boxes: float32[frames, 4], left, top, right, bottom of the face in a clip; the official detector is S3FD, whose
      boxes are its own.
    width, height: of the frame.
  """
  left, top = boxes[:, :2].min(axis=0)
  right, bottom = boxes[:, 2:].max(axis=0)
  side = _TUBE_SIDE * float(max(right - left, bottom - top))
  return _inside(float(left + right) / 2, float(top + bottom) / 2, side, 0.5, width, height)


def template_box(landmarks: np.ndarray, template: np.ndarray, width: int, height: int) -> tuple[int, int, int]:
  """Returns the square (left, top, side), inside the frame, that puts a clip's mean landmarks on a template.

  Least squares over scale and translation. The official script also turns the picture; of a video that would take away
  the head's roll.

  Args:
    landmarks: float32[frames, 68, 2], pixels.
    template: float[68, 2] in shares of the crop's side.
    width, height: of the frame.
  """
  points = landmarks[:, :_STEADY_POINTS].mean(axis=0, dtype=np.float64) + 0.5
  wanted = template[:_STEADY_POINTS]
  centred = wanted - wanted.mean(axis=0)
  side = float((centred * (points - points.mean(axis=0))).sum() / (centred**2).sum())
  left, top = points.mean(axis=0) - side * wanted.mean(axis=0)
  return _inside(left + side / 2, top + side / 2, side, 0.5, width, height)


def read_template(path: str | os.PathLike) -> tuple[tuple[float, float], ...]:
  """Reads 68 points in pixels of a 256-pixel canvas (the official M003_template.npy), as shares of its side.

  Raises:
    DataError: in one line, if the file holds something else.
  """
  try:
    points = np.load(path, allow_pickle=False)
  except (OSError, ValueError, EOFError) as error:
    raise DataError(f'--template {path}: cannot be read ({str(error).splitlines()[0]})') from None
  if points.shape != (68, 2) or not np.isfinite(points).all():
    raise DataError(f'--template {path}: expected 68 points [68, 2], got {list(points.shape)}')
  return tuple((float(x), float(y)) for x, y in (points + 0.5) / 256)


def centre_box(width: int, height: int) -> tuple[int, int, int]:
  """Returns the largest square (left, top, side) in the middle of the frame."""
  side = min(width, height)
  return (width - side) // 2, (height - side) // 2, side


def _inside(x: float, y: float, side: float, centre: float, width: int, height: int) -> tuple[int, int, int]:
  """Returns the square (left, top, side) around (x, y), which lies at `centre` of its height, moved into the frame."""
  whole = max(1, min(round(side), width, height))
  left = min(max(round(x - whole / 2), 0), width - whole)
  top = min(max(round(y - whole * centre), 0), height - whole)
  return left, top, whole


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
    return frame[top : top + side, left : left + side]
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
