"""Landmark metrics on a drawn face whose motion is known."""

import numpy as np
import pytest

from data_pipeline import head_pose
from edtalk_jax.evaluation import landmark_metrics


def _rotation(yaw=0.0, pitch=0.0, roll=0.0):
  (cy, cp, cr), (sy, sp, sr) = np.cos(np.radians([yaw, pitch, roll])), np.sin(np.radians([yaw, pitch, roll]))
  return (
    np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
  )


def _face(rotation=None, scale=1.0, shift=(128, 128), opening=0.0, seed=0):
  """68 landmarks of the rigid mean face, with a mouth that opens downwards by `opening` millimetres."""
  rng = np.random.default_rng(seed)
  points = np.concatenate([rng.uniform(-60, 60, (68, 2)), rng.uniform(-5, 15, (68, 1))], axis=1)
  points[36:42] = head_pose.FACE[:2].mean(0) + rng.uniform(-2, 2, (6, 3))
  points[42:48] = head_pose.FACE[2:4].mean(0) + rng.uniform(-2, 2, (6, 3))
  points[list(head_pose.RIGID)] = head_pose.FACE
  points[48:68] = rng.uniform((-25, 60, 0), (25, 80, 5), (20, 3))
  points[56:60, 1] += opening
  rotation = np.eye(3) if rotation is None else rotation
  return scale * (points @ rotation.T)[:, :2] + shift


def test_landmark_distance_is_the_mean_of_euclidean_distances():
  truth = np.zeros((2, 20, 2))
  prediction = truth + np.array([3.0, 4.0])
  prediction[1] *= 2
  np.testing.assert_allclose(landmark_metrics.landmark_distance(prediction, truth), [5, 10])


@pytest.mark.parametrize(
  'angles',
  [
    {},
    {'yaw': 25},
    {'pitch': -15},
    {'roll': 30},
    {'yaw': -20, 'pitch': 10, 'roll': 5},
  ],
)
def test_the_pose_of_the_mean_face_is_recovered(angles):
  rotation = _rotation(**angles)
  found = head_pose.rotation(_face(rotation, scale=1.7, shift=(30, 200)))
  np.testing.assert_allclose(found, rotation, atol=1e-9)
  assert head_pose.angle(found, rotation) == pytest.approx(0, abs=1e-4)  # arccos near 1 has half the digits


def test_pose_distance_is_the_angle_and_ignores_position_and_size():
  still, turned = _face(), _face(_rotation(yaw=12), scale=2, shift=(5, 5))
  np.testing.assert_allclose(landmark_metrics.pose_distance(still[None], turned[None]), [12], atol=1e-6)


def test_pose_distance_ignores_the_mouth():
  np.testing.assert_allclose(landmark_metrics.pose_distance(_face()[None], _face(opening=20)[None]), [0], atol=1e-4)


def test_mouth_distance_ignores_position_size_and_roll_but_not_opening():
  still = _face()[None]
  moved = _face(_rotation(roll=20), scale=2.5, shift=(10, 60))[None]
  np.testing.assert_allclose(landmark_metrics.mouth_distance(moved, still), [0], atol=1e-9)
  opened = landmark_metrics.mouth_distance(_face(opening=10)[None], still)
  wider = landmark_metrics.mouth_distance(_face(opening=20)[None], still)
  assert wider > opened > 1
  # By hand: 4 of 20 points move by 10 mm, hence the mean by 2 and each of the others by -2 relative to it.
  eyes = np.linalg.norm(_face()[42:48].mean(0) - _face()[36:42].mean(0))
  np.testing.assert_allclose(opened, 100 * (4 * 8 + 16 * 2) / 20 / eyes, rtol=1e-9)


def test_mouth_motion_ignores_the_difference_between_people():
  driver = np.stack([_face(opening=o) for o in (0, 5, 12, 3)])
  other = driver.copy()
  other[:, 48:68] += np.random.default_rng(1).uniform(-8, 8, (20, 2))  # another mouth, the same motion
  assert landmark_metrics.mouth_distance(other, driver).min() > 5
  np.testing.assert_allclose(landmark_metrics.mouth_motion_distance(other, driver), 0, atol=1e-9)
  still = np.repeat(other[:1], 4, axis=0)
  assert landmark_metrics.mouth_motion_distance(still, driver).mean() > 1


def test_a_missing_face_is_missing_and_spoils_no_other_frame():
  driver = np.stack([_face(opening=o) for o in (0, 5, 12, 3)])
  ours = driver.copy()
  ours[1] = np.nan
  for measure in (
    landmark_metrics.mouth_distance,
    landmark_metrics.mouth_motion_distance,
    landmark_metrics.pose_distance,
    landmark_metrics.landmark_distance,
  ):
    np.testing.assert_allclose(measure(ours, driver), [0, np.nan, 0, 0], atol=1e-4, err_msg=measure.__name__)


def test_mouth_motion_needs_enough_frames_to_have_a_mean():
  driver = np.stack([_face(opening=o) for o in (0, 5, 12, 3, 1, 8)])
  ours = np.repeat(driver[:1], 6, axis=0)
  ours[:3] = np.nan
  assert (landmark_metrics.mouth_motion_distance(ours, driver)[3:] > 0).all()
  ours[3] = np.nan
  assert np.isnan(landmark_metrics.mouth_motion_distance(ours, driver)).all()


def test_detection_resizes_and_marks_missing_faces():
  seen = []

  def detector(frame):
    seen.append(frame.shape)
    return None if frame.mean() < 1 else np.full((68, 2), frame.shape[0])

  found = landmark_metrics.detect([np.zeros((64, 64, 3), np.uint8), np.full((256, 256, 3), 9, np.uint8)], detector)
  assert seen == [(256, 256, 3)] * 2
  assert np.isnan(found[0]).all() and (found[1] == 256).all()
