"""Distances between the faces of two frames, from 68 landmarks (iBUG order) of the training data's own detector.

With a true frame: M-LMD and F-LMD, in pixels. Without one (cross-driving): distances of mouth shape and head pose to
the drivers, from which position, size and, for the mouth, in-plane rotation are removed.
"""

from collections.abc import Callable, Iterable

import numpy as np
import PIL.Image

from data_pipeline import head_pose

SIZE = 256  # pixels: side of the frames on which landmarks are found and distances measured
MOUTH = slice(48, 68)
_EYES = (slice(36, 42), slice(42, 48))  # image left, image right

Detect = Callable[[np.ndarray], np.ndarray | None]  # uint8[SIZE, SIZE, 3] -> float32[68, 2], or None without a face


def detect(frames: Iterable[np.ndarray], detector: Detect) -> np.ndarray:
  """Finds landmarks in square uint8 frames of any size; smaller or larger ones are resized to 256 first (bicubic).

  Returns:
    float64[frames, 68, 2] in pixels at 256; NaN where no face was found.
  """
  found = []
  for frame in frames:
    if frame.shape[:2] != (SIZE, SIZE):
      frame = np.asarray(PIL.Image.fromarray(frame).resize((SIZE, SIZE), PIL.Image.Resampling.BICUBIC))
    landmarks = detector(frame)
    found.append(np.full((68, 2), np.nan) if landmarks is None else np.asarray(landmarks, np.float64))
  return np.stack(found) if found else np.zeros((0, 68, 2))


def landmark_distance(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Mean Euclidean distance of corresponding points: [frames, points, 2] twice -> float64[frames], NaN kept.

  M-LMD on the mouth's points (48..67), F-LMD on all 68. No alignment: a generated frame shares the true one's crop.
  """
  return np.linalg.norm(prediction - truth, axis=-1).mean(axis=-1)


def centred_distance(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """`landmark_distance` after both sets of points, [frames, points, 2], are moved to their mean points.

  M-LMD and F-LMD as the public evaluation of EAT takes them (Gan et al., 2023, `test_lmd.py`): where the face is drops
  out, its size and turning do not.
  """
  return landmark_distance(*(points - points.mean(axis=1, keepdims=True) for points in (prediction, truth)))


def mouth_shape(landmarks: np.ndarray) -> np.ndarray:
  """Mouth points without position, size and roll: [frames, 68, 2] -> float64[frames, 20, 2], in inter-ocular distances.

  Centred at the mouth's mean point, turned until the line between the eye centres is horizontal and divided by their
  distance.
  """
  left, right = (landmarks[:, eye].mean(axis=1) for eye in _EYES)
  x_axis = right - left
  scale = np.linalg.norm(x_axis, axis=-1, keepdims=True)
  x_axis = x_axis / scale
  y_axis = np.stack([-x_axis[:, 1], x_axis[:, 0]], axis=-1)
  mouth = landmarks[:, MOUTH]
  mouth = (mouth - mouth.mean(axis=1, keepdims=True)) / scale[:, None]
  return np.stack([(mouth * x_axis[:, None]).sum(-1), (mouth * y_axis[:, None]).sum(-1)], axis=-1)


def mouth_distance(generated: np.ndarray, driver: np.ndarray) -> np.ndarray:
  """Distance of mouth shapes, [frames, 68, 2] twice -> float64[frames], in percent of the inter-ocular distance.

  Contains the constant difference between two people's mouths; `mouth_motion_distance` does not.
  """
  return 100 * landmark_distance(mouth_shape(generated), mouth_shape(driver))


def mouth_motion_distance(generated: np.ndarray, driver: np.ndarray) -> np.ndarray:
  """As `mouth_distance`, of the shapes' deviations from their means over the sequence.

  Both means are taken over the frames in which both faces were found. A still face scores the driver's own mean
  deviation, a perfect transfer between any two people 0. Undefined (NaN) throughout where fewer than half of the frames
  show both faces, or fewer than three: the mean of a few frames lies so close to them that any motion would look right.
  """
  ours, theirs = mouth_shape(generated), mouth_shape(driver)
  both = ~(np.isnan(ours).any(axis=(1, 2)) | np.isnan(theirs).any(axis=(1, 2)))
  if both.sum() < max(3, len(both) / 2):
    return np.full(len(ours), np.nan)
  return 100 * landmark_distance(ours - ours[both].mean(axis=0), theirs - theirs[both].mean(axis=0))


def pose_distance(generated: np.ndarray, driver: np.ndarray) -> np.ndarray:
  """Angle in degrees between the head rotations, [frames, 68, 2] twice -> float64[frames] (`head_pose.rotation`)."""
  distances = np.full(len(generated), np.nan)
  for i, (ours, theirs) in enumerate(zip(generated, driver, strict=True)):
    if not (np.isnan(ours).any() or np.isnan(theirs).any()):
      distances[i] = head_pose.angle(head_pose.rotation(ours), head_pose.rotation(theirs))
  return distances
