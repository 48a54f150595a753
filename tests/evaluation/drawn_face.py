"""68 landmarks of a face whose every measure is known."""

import numpy as np

from data_pipeline import head_pose


def rotation(yaw=0.0, pitch=0.0, roll=0.0):
  """Yaw, then pitch, then roll in degrees; positive turns to the picture's right, downwards, clockwise."""
  (cy, cp, cr), (sy, sp, sr) = np.cos(np.radians([-yaw, pitch, roll])), np.sin(np.radians([-yaw, pitch, roll]))
  about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
  about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
  return about_z @ about_x @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])


def face(opening=0.0, width=50.0, brow=0.0, smile=0.0, turn=None, scale=1.0, shift=(128.0, 128.0)):
  """Landmarks float64[68, 2] of the rigid mean face; opening, width, brow and smile in millimetres.

  The lower lip falls by `opening`, corners lie `width` apart and rise by `smile`, brows rise by `brow`. Depths between
  the points of a measure are those that `face_measures` assumes.
  """
  points = np.zeros((68, 3))
  points[:17] = np.stack(
    [70 * np.sin(np.linspace(-1.5, 1.5, 17)), 30 + 80 * np.cos(np.linspace(-1.5, 1.5, 17)), np.full(17, 20.0)], axis=1
  )
  points[list(head_pose.RIGID)] = head_pose.FACE
  for inner, outer, brows in ((39, 36, (21, 20, 19, 18, 17)), (42, 45, (22, 23, 24, 25, 26))):
    # Inner brows lie 14 mm before the eyes' inner corners, outer ones as deep as the outer corners.
    along = np.linspace(0, 1, 5)[:, None]
    start, end = points[inner] - (0, 20 + brow, 14), points[outer] - (0, 20 + brow, 0)
    points[list(brows)] = start + along * (end - start)
    points[brows[3]] = end  # both outer points at the corner's depth
  for first, last, upper, lower in ((36, 39, (37, 38), (41, 40)), (42, 45, (43, 44), (47, 46))):
    middle = (points[first] + points[last]) / 2
    points[list(upper)], points[list(lower)] = middle - np.array([0, 4, 0]), middle + np.array([0, 4, 0])
  points[[50, 51, 52, 61, 62, 63]] = (0, 70, 0)
  points[[56, 57, 58, 65, 66, 67]] = (0, 70 + opening, 0)
  for corner, inside, near, side in ((48, 60, (49, 59), -1), (54, 64, (53, 55), 1)):
    # 12 mm behind the lips; a third of the jaw's fall is not theirs.
    points[[corner, inside]] = (side * width / 2, 70 + opening / 3 - smile, 12)
    points[list(near)] = (points[corner] + (0, 70, 0)) / 2
  return scale * (points @ (np.eye(3) if turn is None else turn).T)[:, :2] + shift
