"""What 68 landmarks tell of a clip's face: how large, how steady, how far turned. Source: ours."""

import numpy as np

from data_pipeline import head_pose

_EYES = (slice(36, 42), slice(42, 48))
_EVERY = 5  # frames from one whose pose is fitted to the next


def height(landmarks: np.ndarray) -> float:
  """Median distance from brows to chin over float[n, 68, 2], in the landmarks' pixels."""
  return float(np.median(np.linalg.norm(landmarks[:, 8] - landmarks[:, 17:27].mean(axis=1), axis=-1)))


def jitter(landmarks: np.ndarray, valid: np.ndarray) -> float:
  """How much the still points of the face move against each other, in % of the distance of the eyes.

  A hand, a microphone or hair before the face makes a detector jump from frame to frame, each point in its own way,
  where a head moves as one. So: eye corners and nose, each frame laid on the mean face by a similarity; second
  difference in time; mean over these points; 90th percentile over frames.

  Args:
    landmarks: float[n, 68, 2].
    valid: [n], 0 where the landmarks were made up.

  Returns:
    0 where there are no three frames in a row with landmarks.
  """
  seen = np.asarray(valid).astype(bool)
  whole = seen[:-2] & seen[1:-1] & seen[2:]
  if not whole.any():
    return 0.0
  points = np.asarray(landmarks, np.float64)
  apart = np.linalg.norm(points[:, _EYES[0]].mean(axis=1) - points[:, _EYES[1]].mean(axis=1), axis=-1)
  still = _aligned(points[:, list(head_pose.RIGID)] / np.maximum(apart, 1e-6)[:, None, None])
  tremble = np.abs(still[:-2] - 2 * still[1:-1] + still[2:]).mean(axis=1)[whole]
  return 100 * float(np.percentile(tremble, 90))


def _aligned(points: np.ndarray) -> np.ndarray:
  """Turns the points of each frame, float[n, k, 2], so that they lie on their mean best; complex[n, k], centred."""
  shapes = points[..., 0] + 1j * points[..., 1]
  shapes = shapes - shapes.mean(axis=1, keepdims=True)
  mean = shapes[0]
  for _ in range(3):
    turns = (np.conj(shapes) * mean).mean(axis=1, keepdims=True)
    turned = shapes * turns / np.maximum(np.abs(turns), 1e-12)
    mean = turned.mean(axis=0)
  return turned


def pose(landmarks: np.ndarray, valid: np.ndarray) -> tuple[float, float, float]:
  """Returns the median yaw, pitch and roll in degrees (`head_pose.angles`) over every fifth frame with landmarks."""
  seen = np.flatnonzero(valid)[::_EVERY]
  if not len(seen):
    return 0.0, 0.0, 0.0
  angles = [head_pose.angles(head_pose.fit(landmarks[k]).rotation) for k in seen]
  return tuple(float(value) for value in np.median(angles, axis=0))
