"""What a face does, in numbers from 68 landmarks: mouth, head pose and expression, each freed of the others' effect.

A head that turns foreshortens the mouth in the picture. So a rigid mean face is fitted first (`head_pose.fit`), and
distances are measured in its own plane: across and down the face, in millimetres of the mean face. What remains: the
depth between two points is the mean face's (`_DEPTH`), so pitch leaks into brows and corners of people who differ from
it; perspective; and the detector's own habits. Source: ours.
"""

import numpy as np

from data_pipeline import head_pose

GROUPS = {
  'mouth': ('opening', 'width'),
  'pose': ('yaw', 'pitch', 'roll', 'shift_x', 'shift_y', 'scale'),
  'expression': ('inner_brow', 'outer_brow', 'lids', 'corners'),
}
"""Measures of each group.

opening: between the inner lips; width: between the mouth's corners; mm.
yaw, pitch, roll: degrees, positive to the picture's right, down and clockwise. shift_x, shift_y: of the rigid points'
mean, as a share of the picture's side. scale: of the face, in shares of the side per metre of face.
inner_brow, outer_brow: height above the eye's inner and outer corner; lids: opening of the eyes, mean of both; corners:
height of the mouth's corners above the point a third of the way from upper to lower lip, which takes most of the
jaw's pull on them away; mm.
"""
NAMES = tuple(name for members in GROUPS.values() for name in members)
UNITS = {'yaw': '°', 'pitch': '°', 'roll': '°', 'shift_x': 'of side', 'shift_y': 'of side', 'scale': 'of side / m'}

# Millimetres by which the first point of a distance lies behind the second, away from the camera, in a frontal face.
_DEPTH = {'inner_brow': -14.0, 'corners': 12.0}


def measure(landmarks: np.ndarray, size: int) -> np.ndarray:
  """Measures faces.

  Args:
    landmarks: [frames, 68, 2] in pixels, NaN where no face was found.
    size: side of the frames in pixels.

  Returns:
    float64[frames, len(NAMES)], NaN where no face was found.
  """
  return np.array(
    [
      np.full(len(NAMES), np.nan) if np.isnan(points).any() else _one(points.astype(np.float64), size)
      for points in landmarks
    ]
  ).reshape(-1, len(NAMES))


def _one(points: np.ndarray, size: int) -> np.ndarray:
  pose = head_pose.fit(points)
  yaw, pitch, roll = head_pose.angles(pose.rotation)
  lower = np.linalg.inv(pose.scale * pose.rotation[:2, :2])

  def apart(first, second, depth=0.0):
    """From the mean of the second points to that of the first: (right, down) in the face's plane, in mm."""
    seen = points[first].mean(axis=0) - points[second].mean(axis=0)
    return lower @ (seen - pose.scale * pose.rotation[:2, 2] * depth)

  def height(left, right, depth=0.0):
    return -(apart(*left, depth)[1] + apart(*right, depth)[1]) / 2

  opening = apart([65, 66, 67], [61, 62, 63])
  values = {
    'opening': opening[1],
    'width': apart([54], [48])[0],
    'yaw': yaw,
    'pitch': pitch,
    'roll': roll,
    'shift_x': pose.centre[0] / size,
    'shift_y': pose.centre[1] / size,
    'scale': 1000 * pose.scale / size,
    'inner_brow': height(([21], [39]), ([22], [42]), _DEPTH['inner_brow']),
    'outer_brow': height(([17, 18], [36]), ([25, 26], [45])),
    'lids': height(([37, 38], [41, 40]), ([43, 44], [47, 46])),
    'corners': -apart([48, 54], [51, 51, 57], _DEPTH['corners'])[1],
  }
  return np.array([values[name] for name in NAMES])
