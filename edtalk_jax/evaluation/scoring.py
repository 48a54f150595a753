"""The numbers of one driven sequence, for each method that drew it."""

import dataclasses

import numpy as np

from edtalk_jax.evaluation import image_metrics, landmark_metrics, metrics, protocols, synchrony
from edtalk_jax.evaluation.judges.shelf import Judges

GENERATED = 'generated'
HEARD = 'mouth from sound'
UNCHANGED = 'source unchanged'
MOUTH_PASTED = 'mouth pasted'
MOUTH_DRIVER = 'mouth driver pasted'
POSE_DRIVER = 'pose driver pasted'
TRUE = 'true frames'

# method -> metric key -> float64[frames], NaN where undefined; of CSIM, the frames that were embedded
Scores = dict[str, dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Sample:
  """A driven sequence to look at; uint8[frames, size, size, 3] each."""

  source: np.ndarray  # [size, size, 3]
  mouth: np.ndarray
  pose: np.ndarray
  predictions: dict[str, np.ndarray]  # by method
  truth: np.ndarray | None  # what it should look like; None where nobody knows


def score(
  protocol: str, sample: Sample, detector: landmark_metrics.Detect | None, judges: Judges, *, embedded: int = 0
) -> Scores:
  """Scores frames one by one, with the driver's frames for `same_clip` and without for `cross`.

  Of at most `embedded` frames, evenly spaced, is measured who they show; 0: of all.
  """
  mouth = pose = portrait = face = None
  if detector is not None:
    mouth = landmark_metrics.detect(sample.mouth, detector)
    pose = mouth if protocol == 'same_clip' else landmark_metrics.detect(sample.pose, detector)
    portrait = landmark_metrics.detect(sample.source[None], detector)
    face = None if judges.identity is None else judges.identity(sample.source, portrait[0])
  known = {MOUTH_DRIVER: mouth, POSE_DRIVER: pose}
  scores = {}
  for method, frames in sample.predictions.items():
    scores[method] = _score_images(frames, sample.truth, judges) | metrics.score_sharpness(frames)
    if judges.naturalness is not None:
      scores[method]['niqe'] = np.array([judges.naturalness(frame) for frame in frames])
    if judges.inception is not None and protocol == 'same_clip':
      scores[method][metrics.FEATURES] = judges.inception(frames)
    if detector is None:
      continue
    landmarks = np.repeat(portrait, len(frames), axis=0) if method == UNCHANGED else known.get(method)
    if landmarks is None:
      landmarks = landmark_metrics.detect(frames, detector)
    scores[method] |= (
      metrics.score_same_clip(landmarks, mouth)
      if protocol == 'same_clip'
      else metrics.score_cross(landmarks, mouth, pose)
    )
    if face is not None:
      # Embedding every frame would take most of an evaluation's time. The portrait's face is known.
      shown = [
        face if method == UNCHANGED else judges.identity(frames[k], landmarks[k])
        for k in protocols.spread(0, len(frames), embedded)
      ]
      scores[method]['csim'] = np.array([metrics.similarity(other, face) for other in shown])
  if judges.inception is not None and protocol == 'same_clip':
    scores[TRUE] = {metrics.FEATURES: judges.inception(sample.truth)}
  return scores


def score_video(sample: Sample, judges: Judges, *, waveform: np.ndarray, boxes: np.ndarray, emotion: str) -> Scores:
  """Scores consecutive frames as a whole: arrays of one number.

  Args:
    sample: with the true frames.
    judges: of synchrony and emotion.
    waveform: float32[samples] at 16 kHz from the first of the frames on; empty without sound.
    boxes: float32[frames, 4], where the face is in the true frames, and looked for in all others.
    emotion: of the clip, '' if unknown.
  """
  scores = {}
  for method, frames in (sample.predictions | {TRUE: sample.truth}).items():
    values = {'flicker': image_metrics.flicker(frames, sample.truth).mean() if len(frames) > 1 else np.nan}
    if judges.sync is not None:
      values |= {'sync_c': np.nan, 'sync_d': np.nan}
      if synchrony.windows(len(frames), len(waveform)):
        found = synchrony.measure(*judges.sync(frames, boxes, waveform))
        values |= {'sync_c': found.confidence, 'sync_d': found.distance}
    if judges.emotion is not None:
      values['acc_emo'] = 100.0 * (judges.emotion(frames) == emotion) if emotion else np.nan
    scores[method] = {key: np.array([value], np.float64) for key, value in values.items()}
  return scores


def _score_images(frames: np.ndarray, truth: np.ndarray | None, judges: Judges) -> dict[str, np.ndarray]:
  if truth is None:
    return {}
  scores = metrics.score_images(frames, truth)
  return scores if judges.lpips is None else scores | {'lpips': judges.lpips(frames, truth)}
