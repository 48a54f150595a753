"""Rotation of a head from 2-D landmarks: a rigid mean face under a weak-perspective camera."""

import dataclasses

import numpy as np

# Points that neither speech nor expression moves: eye corners, nose bridge top and tip, nostrils and nose base.
RIGID = (36, 39, 42, 45, 27, 30, 31, 33, 35)  # iBUG-68

# Ours: an adult face in millimetres from rounded anthropometric distances (outer eye corners 90 apart, inner 32, nose
# 48 high and 20 prominent). x to the image's right, y down, z away from the camera.
FACE = np.array(
  [
    [-45.0, 0.0, 12.0],
    [-16.0, 0.0, 4.0],
    [16.0, 0.0, 4.0],
    [45.0, 0.0, 12.0],
    [0.0, -4.0, -8.0],
    [0.0, 36.0, -28.0],
    [-13.0, 46.0, -8.0],
    [0.0, 48.0, -14.0],
    [13.0, 46.0, -8.0],
  ]
)
_CENTRED = FACE - FACE.mean(axis=0)
_INVERSE = np.linalg.pinv(_CENTRED)


@dataclasses.dataclass(frozen=True)
class Pose:
  """A scaled-orthographic camera: point of the mean face in mm -> scale * rotation[:2] @ (point - mean) + centre."""

  rotation: np.ndarray  # float64[3, 3]
  scale: float  # pixels per millimetre
  centre: np.ndarray  # float64[2], of the rigid points in pixels


def fit(landmarks: np.ndarray) -> Pose:
  """Returns the camera that shows the rigid mean face as `landmarks`, [68, 2] in pixels.

  The affine camera that explains the rigid points best (linear least squares over `RIGID`) is replaced by the nearest
  scaled-orthographic one (its polar factor). Source: ours, after Tomasi & Kanade's (1992) orthographic camera.

  Raises:
    ValueError: if `landmarks` is not [68, 2].
  """
  if landmarks.shape != (68, 2):
    raise ValueError(f'landmarks must be [68, 2], got {list(landmarks.shape)}')
  points = landmarks[list(RIGID)].astype(np.float64)
  centre = points.mean(axis=0)
  camera = (_INVERSE @ (points - centre)).T  # [2, 3]
  u, scales, vt = np.linalg.svd(camera, full_matrices=False)
  rows = u @ vt
  return Pose(np.vstack([rows, np.cross(rows[0], rows[1])]), float(scales.mean()), centre)


def rotation(landmarks: np.ndarray) -> np.ndarray:
  """Returns the rotation float64[3, 3] that turns the frontal mean face into the pose of `landmarks`, [68, 2].

  Translation and scale drop out, hence frames of different crops and landmarks in any unit compare. Raises ValueError
  as `fit` does.
  """
  return fit(landmarks).rotation


def angles(rotation: np.ndarray) -> tuple[float, float, float]:
  """Returns yaw, pitch and roll in degrees of a rotation of the coordinates of `FACE`: Rz(roll) Rx(pitch) Ry(yaw).

  Positive angles turn the face to the picture's right, downwards and clockwise.
  """
  yaw = np.arctan2(rotation[2, 0], rotation[2, 2])
  pitch = np.arcsin(np.clip(rotation[2, 1], -1.0, 1.0))
  roll = np.arctan2(-rotation[0, 1], rotation[1, 1])
  return tuple(float(np.degrees(value)) for value in (yaw, pitch, roll))


def angle(a: np.ndarray, b: np.ndarray) -> float:
  """Returns the angle in degrees of the rotation that leads from rotation `a` to rotation `b`."""
  return float(np.degrees(np.arccos(np.clip((np.trace(a.T @ b) - 1) / 2, -1.0, 1.0))))
