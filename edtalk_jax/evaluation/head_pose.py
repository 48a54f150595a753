"""Rotation of a head from 2-D landmarks: a rigid mean face under a weak-perspective camera."""

import numpy as np

# Points that neither speech nor expression moves: eye corners, nose bridge top and tip, nostrils and nose base.
RIGID = (36, 39, 42, 45, 27, 30, 31, 33, 35)  # iBUG-68

# Ours: an adult face in millimetres from rounded anthropometric distances (outer eye corners 90 apart, inner 32, nose
# 48 high and 20 prominent). x to the image's right, y down, z away from the camera.
FACE = np.array([
  [-45.0, 0.0, 12.0], [-16.0, 0.0, 4.0], [16.0, 0.0, 4.0], [45.0, 0.0, 12.0],
  [0.0, -4.0, -8.0], [0.0, 36.0, -28.0], [-13.0, 46.0, -8.0], [0.0, 48.0, -14.0], [13.0, 46.0, -8.0],
])
_CENTRED = FACE - FACE.mean(axis=0)
_INVERSE = np.linalg.pinv(_CENTRED)


def rotation(landmarks: np.ndarray) -> np.ndarray:
  """Returns the rotation float64[3, 3] that turns the frontal mean face into the pose of `landmarks`.

  The affine camera that explains the rigid points best (linear least squares over `RIGID` of landmarks[68, 2], in any
  unit) is replaced by the nearest scaled-orthographic one (its polar factor). Translation and scale drop out, hence
  frames of different crops compare. Source: ours, after Tomasi & Kanade's (1992) orthographic camera.

  Raises:
    ValueError: if `landmarks` is not [68, 2].
  """
  if landmarks.shape != (68, 2):
    raise ValueError(f'landmarks must be [68, 2], got {list(landmarks.shape)}')
  points = landmarks[list(RIGID)].astype(np.float64)
  camera = (_INVERSE @ (points - points.mean(axis=0))).T  # [2, 3]
  u, _, vt = np.linalg.svd(camera, full_matrices=False)
  rows = u @ vt
  return np.vstack([rows, np.cross(rows[0], rows[1])])


def angle(a: np.ndarray, b: np.ndarray) -> float:
  """Returns the angle in degrees of the rotation that leads from rotation `a` to rotation `b`."""
  return float(np.degrees(np.arccos(np.clip((np.trace(a.T @ b) - 1) / 2, -1.0, 1.0))))
