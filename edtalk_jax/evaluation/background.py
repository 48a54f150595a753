"""Change of pixels that belong to no face."""

import numpy as np
import scipy.ndimage
import skimage.draw

from data_pipeline.synthetic import parts
from edtalk_jax.evaluation import landmark_metrics

GROWTH = 1.8  # of the landmarks' outline about its centre, so that it takes in forehead, ears and most hair
EDGE = 3  # pixels
_OUTLINE = [*range(17), *range(26, 16, -1)]  # jaw from ear to ear, brows back: iBUG-68


def mean_change(frames: np.ndarray, held: np.ndarray, empty: np.ndarray) -> np.ndarray:
  """Returns the mean absolute difference over the background in grey levels, float64[frames]; NaN where there is none.

  Args:
    frames: uint8[frames, size, size, 3].
    held: uint8[size, size, 3], to compare with.
    empty: bool[frames, size, size], True where background is compared.
  """
  change = np.abs(frames.astype(np.int16) - held.astype(np.int16)).mean(axis=-1)
  count = empty.sum(axis=(1, 2))
  return np.where(count > 0, (change * empty).sum(axis=(1, 2)) / np.maximum(count, 1), np.nan)


def outside_faces(held: np.ndarray, landmarks: np.ndarray, size: int) -> np.ndarray:
  """Returns bool[frames, size, size]: pixels outside the grown outlines of both faces; none where one is unknown.

  Args:
    held: [1, 68, 2] in pixels at 256.
    landmarks: [frames, 68, 2] likewise, NaN without a face.
    size: of the frames.
  """
  first = _outside(held[0], size)
  return np.stack([first & _outside(points, size) for points in landmarks])


def rendered_background(frames) -> np.ndarray:
  """Returns bool[frames - 1, size, size]: where both the first rendered frame and each later one show background.

  Pixels at the head's edge are left out: JPEG mixes their colours with the head's.
  """
  empty = np.stack(
    [scipy.ndimage.binary_erosion(frame.mask == parts.BACKGROUND, iterations=EDGE, border_value=1) for frame in frames]
  )
  return empty[1:] & empty[:1]


def _outside(landmarks: np.ndarray, size: int) -> np.ndarray:
  if np.isnan(landmarks).any():
    return np.zeros((size, size), bool)
  outline = landmarks[_OUTLINE]
  centre = (outline.min(axis=0) + outline.max(axis=0)) / 2
  scale = size / landmark_metrics.SIZE
  x, y = ((centre + GROWTH * (outline - centre) + 0.5) * scale - 0.5).T
  return ~skimage.draw.polygon2mask((size, size), np.stack([y, x], axis=1))
