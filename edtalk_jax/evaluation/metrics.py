"""The metrics by name: what each one measures, in which unit, and which way is better. Tables and reports read this."""

import dataclasses
from typing import Literal

import numpy as np

from edtalk_jax.evaluation import image_metrics, landmark_metrics, sharpness


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


_CPBD = Metric('cpbd', 'CPBD', '', 'higher', 'Share of vertical edges whose blur is probably not noticed, 0 to 1.')
_BLUR = Metric('blur', 'Blur', '', 'lower', 'How little a frame changes when it is blurred again, 0 to 1.')
_NIQE = Metric(
  'niqe',
  'NIQE',
  '',
  'lower',
  'How far the local statistics of a frame are from those of natural, sharp '
  'photographs (Mittal et al., 2013); from 192 pixels on.',
)
_CSIM = Metric('csim', 'CSIM', '', 'higher', 'Cosine between the face embeddings of the frame and of the portrait.')

SAME_CLIP = (
  Metric(
    'psnr',
    'PSNR',
    'dB',
    'higher',
    'Peak signal-to-noise ratio per frame, data range 255, mean squared error over pixels and channels; at most '
    f'{image_metrics.PSNR_CEILING:g} dB.',
  ),
  Metric(
    'ssim',
    'SSIM',
    '',
    'higher',
    'Structural similarity per frame as scikit-image computes it: data range 255, uniform 7 × 7 window, mean over '
    'channels.',
  ),
  Metric('l1', 'L1', 'grey levels', 'lower', 'Mean absolute difference over pixels and channels, 0 to 255.'),
  Metric(
    'm_lmd',
    'M-LMD',
    'px at 256',
    'lower',
    'Mean Euclidean distance of the 20 mouth landmarks (48 to 67) of the generated and the true frame, found by '
    "the training data's detector in both after resizing to 256 pixels. Not aligned, not normalised.",
  ),
  Metric('f_lmd', 'F-LMD', 'px at 256', 'lower', 'As M-LMD, over all 68 landmarks.'),
  Metric(
    'm_lmd_centred',
    'M-LMD centred',
    'px at 256',
    'lower',
    "As M-LMD, after both mouths are moved to their mean points, as in EAT's evaluation.",
  ),
  Metric('f_lmd_centred', 'F-LMD centred', 'px at 256', 'lower', 'As M-LMD centred, over all 68 landmarks.'),
  Metric('lpips', 'LPIPS', '', 'lower', 'Learnt distance between the features of both frames (Zhang et al., 2018).'),
  Metric(
    'fid',
    'FID',
    '',
    'lower',
    'Fréchet distance between the Inception features of all frames and of all true '
    'frames (Heusel et al., 2017); one number for all people.',
  ),
  _CSIM,
  _CPBD,
  _BLUR,
  _NIQE,
)

# Only rendered clips have a true frame in cross-driving.
CROSS = (
  *(
    dataclasses.replace(
      metric,
      label=f'{metric.label} to truth',
      definition=(
        f'{metric.definition} The true frame is rendered: the portrait with the mouth and pose factors of the drivers.'
      ),
    )
    for metric in SAME_CLIP
    if metric.key in ('psnr', 'ssim', 'l1')
  ),
  Metric(
    'mouth_distance',
    'Mouth distance',
    '% of inter-ocular',
    'lower',
    'Ours. Mean distance of the 20 mouth landmarks from those of the mouth driver after centring at their mean, '
    'removing roll and dividing by the distance between the eye centres. Includes the constant difference '
    "between two people's mouths.",
  ),
  Metric(
    'mouth_motion_distance',
    'Mouth motion distance',
    '% of inter-ocular',
    'lower',
    'Ours. As mouth distance, of deviations from the mean shape of the sequence: 0 when the mouth moves exactly '
    "as the driver's; a still face scores the driver's own mean deviation.",
  ),
  Metric(
    'pose_distance',
    'Pose distance',
    'degrees',
    'lower',
    'Ours. Angle between the head rotations of the generated frame and of the pose driver; each from a '
    'weak-perspective fit of a rigid mean face to eye corners and nose, so that position and scale drop out.',
  ),
  _CSIM,
  _CPBD,
  _BLUR,
  _NIQE,
)

# Of consecutive frames; one number for each sequence.
VIDEO = (
  Metric(
    'flicker',
    'Flicker',
    'grey levels',
    'lower',
    'Mean absolute difference between the change from frame to frame and that of the true frames.',
  ),
  Metric(
    'sync_c',
    'Sync-C',
    '',
    'higher',
    'Median over offsets of the distance between lips and sound, minus the lowest (Chung & Zisserman, 2016).',
  ),
  Metric('sync_d', 'Sync-D', '', 'lower', 'The lowest distance between lips and sound over all offsets.'),
  Metric('acc_emo', 'Acc_emo', '%', 'higher', "Sequences in which the classifier sees the clip's emotion."),
)

BY_PROTOCOL = {'same_clip': SAME_CLIP, 'cross': CROSS, 'video': VIDEO}
FEATURES = 'inception'  # not a metric, but what FID is made of: float64[frames, 2048]
LANDMARKS = {'same_clip': 'f_lmd', 'cross': 'pose_distance'}  # a metric that is missing exactly where a face is


def score_images(frames: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
  """Scores frames against true frames, uint8[frames, size, size, 3] both.

  Returns:
    Metric key -> float64[frames].
  """
  return {
    name: np.array([measure(a, b) for a, b in zip(frames, truth, strict=True)])
    for name, measure in (('psnr', image_metrics.psnr), ('ssim', image_metrics.ssim), ('l1', image_metrics.l1))
  }


def score_same_clip(landmarks: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
  """Scores landmarks of predicted frames against those of the true ones, [frames, 68, 2] each, NaN without a face.

  Returns:
    Metric key -> float64[frames]; NaN where undefined.
  """
  mouth = landmark_metrics.MOUTH
  return {
    'm_lmd': landmark_metrics.landmark_distance(landmarks[:, mouth], truth[:, mouth]),
    'f_lmd': landmark_metrics.landmark_distance(landmarks, truth),
    'm_lmd_centred': landmark_metrics.centred_distance(landmarks[:, mouth], truth[:, mouth]),
    'f_lmd_centred': landmark_metrics.centred_distance(landmarks, truth),
  }


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


def score_sharpness(frames: np.ndarray) -> dict[str, np.ndarray]:
  """Scores uint8[frames, size, size, 3] on their own. Returns metric key -> float64[frames]."""
  return {
    'cpbd': np.array([sharpness.cpbd(frame) for frame in frames]),
    'blur': np.array([sharpness.blur(frame) for frame in frames]),
  }


def similarity(one: np.ndarray, other: np.ndarray) -> float:
  """Cosine of the angle between two embeddings; NaN if either is."""
  return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
