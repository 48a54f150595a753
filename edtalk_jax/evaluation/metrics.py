"""The metrics by name: what each one measures, in which unit, and which way is better. Tables and reports read this."""

import dataclasses
from typing import Literal

import numpy as np

from edtalk_jax.evaluation import image_metrics, landmark_metrics


@dataclasses.dataclass(frozen=True)
class Metric:
  """One column of a table."""

  key: str  # in metrics.json
  label: str
  unit: str
  better: Literal['higher', 'lower']
  definition: str

  @property
  def arrow(self) -> str:
    """An arrow that points to the better side."""
    return '↑' if self.better == 'higher' else '↓'

  @property
  def heading(self) -> str:
    """Label, unit and arrow, e.g. 'PSNR [dB] ↑'."""
    return f'{self.label} [{self.unit}] {self.arrow}' if self.unit else f'{self.label} {self.arrow}'


SAME_CLIP = (
  Metric('psnr', 'PSNR', 'dB', 'higher',
         'Peak signal-to-noise ratio per frame, data range 255, mean squared error over pixels and channels; at most '
         f'{image_metrics.PSNR_CEILING:g} dB.'),
  Metric('ssim', 'SSIM', '', 'higher',
         'Structural similarity per frame as scikit-image computes it: data range 255, uniform 7 × 7 window, mean over '
         'channels.'),
  Metric('l1', 'L1', 'grey levels', 'lower', 'Mean absolute difference over pixels and channels, 0 to 255.'),
  Metric('m_lmd', 'M-LMD', 'px at 256', 'lower',
         'Mean Euclidean distance of the 20 mouth landmarks (48 to 67) of the generated and the true frame, found by '
         "the training data's detector in both after resizing to 256 pixels. Not aligned, not normalised."),
  Metric('f_lmd', 'F-LMD', 'px at 256', 'lower', 'As M-LMD, over all 68 landmarks.'),
)

# Only rendered clips have a true frame in cross-driving.
CROSS = (
  *(dataclasses.replace(metric, label=f'{metric.label} to truth', definition=(
    f'{metric.definition} The true frame is rendered: the portrait with the mouth and pose factors of the drivers.'))
    for metric in SAME_CLIP if metric.key in ('psnr', 'ssim', 'l1')),
  Metric('mouth_distance', 'Mouth distance', '% of inter-ocular', 'lower',
         'Ours. Mean distance of the 20 mouth landmarks from those of the mouth driver after centring at their mean, '
         'removing roll and dividing by the distance between the eye centres. Includes the constant difference '
         "between two people's mouths."),
  Metric('mouth_motion_distance', 'Mouth motion distance', '% of inter-ocular', 'lower',
         'Ours. As mouth distance, of deviations from the mean shape of the sequence: 0 when the mouth moves exactly '
         "as the driver's; a still face scores the driver's own mean deviation."),
  Metric('pose_distance', 'Pose distance', 'degrees', 'lower',
         'Ours. Angle between the head rotations of the generated frame and of the pose driver; each from a '
         'weak-perspective fit of a rigid mean face to eye corners and nose, so that position and scale drop out.'),
)

BY_PROTOCOL = {'same_clip': SAME_CLIP, 'cross': CROSS}
LANDMARKS = {'same_clip': 'f_lmd', 'cross': 'pose_distance'}  # a metric that is missing exactly where a face is


def score_images(frames: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
  """Scores frames against true frames, uint8[frames, size, size, 3] both.

  Returns:
    Metric key -> float64[frames].
  """
  return {name: np.array([measure(a, b) for a, b in zip(frames, truth, strict=True)])
          for name, measure in (('psnr', image_metrics.psnr), ('ssim', image_metrics.ssim), ('l1', image_metrics.l1))}


def score_same_clip(landmarks: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
  """Scores landmarks of predicted frames against those of the true ones, [frames, 68, 2] each, NaN without a face.

  Returns:
    Metric key -> float64[frames]; NaN where undefined.
  """
  mouth = landmark_metrics.MOUTH
  return {'m_lmd': landmark_metrics.landmark_distance(landmarks[:, mouth], truth[:, mouth]),
          'f_lmd': landmark_metrics.landmark_distance(landmarks, truth)}


def score_cross(landmarks: np.ndarray, mouth: np.ndarray, pose: np.ndarray) -> dict[str, np.ndarray]:
  """Scores landmarks of predicted frames against those of the two drivers, [frames, 68, 2] each, NaN without a face.

  Returns:
    Metric key -> float64[frames]; NaN where undefined.
  """
  return {
    'mouth_distance': landmark_metrics.mouth_distance(landmarks, mouth),
    'mouth_motion_distance': landmark_metrics.mouth_motion_distance(landmarks, mouth),
    'pose_distance': landmark_metrics.pose_distance(landmarks, pose),
  }


