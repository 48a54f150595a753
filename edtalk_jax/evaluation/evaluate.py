"""Runs the protocols: generated frames and baselines, scored; a few of them kept to be looked at."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from data_pipeline import transforms
from edtalk_jax.evaluation import hearing, landmark_metrics, metrics, protocols, scoring, true_frames
from edtalk_jax.evaluation.judges.shelf import Judges
from edtalk_jax.evaluation.scoring import GENERATED, HEARD, MOUTH_DRIVER, MOUTH_PASTED, POSE_DRIVER, UNCHANGED, Sample
from edtalk_jax.evaluation.true_frames import TrueFrames
from edtalk_jax.model import Model

SAMPLES_PER_FRAME = 640  # of the sound, at 16 kHz and 25 frames per second


class Clip(Protocol):
  """What is asked of a clip; `data_pipeline.records.Clip` is one."""

  clip_id: str
  identity: str

  def frame(self, index: int, size: int) -> np.ndarray:
    """One frame, uint8[size, size, 3]."""

  def landmarks(self, size: int) -> np.ndarray:
    """Landmarks, float32[frames, 68, 2] in pixels of `size`."""

  # Of videos alone:
  emotion: str
  waveform: np.ndarray

  def face_boxes(self, size: int) -> np.ndarray:
    """Boxes of the face, float32[frames, 4] (left, top, right, bottom) in pixels of `size`."""


@dataclasses.dataclass(frozen=True)
class Settings:
  """How much is evaluated."""

  clips: int = 100  # per protocol, identities in turn; 0: all
  frames: int = 10  # per clip, evenly spaced; 0: every one
  seed: int = 0
  samples: int = 6  # sequences per protocol that the report shows
  videos: int = 0  # clips whose consecutive frames are measured, too
  video_frames: int = 50  # of each; 0: all
  embedded: int = 3  # frames of each sequence, evenly spaced, that are asked who they show; 0: all


@dataclasses.dataclass(frozen=True)
class Scored:
  """One driven sequence and its scores."""

  driving: protocols.Driving
  source_id: str
  mouth_id: str
  pose_id: str
  identity: str  # of the source
  scores: scoring.Scores
  sample: Sample | None


def choose(infos: Sequence[protocols.ClipInfo], banks: Sequence[str], settings: Settings) -> list[protocols.Driving]:
  """Returns the sequences of all protocols; cross-driving only for models with a mouth and a pose space."""
  arguments = {'count': settings.clips, 'frames': settings.frames, 'seed': settings.seed}
  chosen = protocols.same_clip(infos, **arguments)
  if {'mouth', 'pose'} <= set(banks):
    chosen += protocols.cross(infos, **arguments)
  if settings.videos:
    chosen += protocols.video(infos, count=settings.videos, frames=settings.video_frames, seed=settings.seed)
  return chosen


def evaluate(
  model: Model,
  clips: Sequence[Clip],
  drivings: Sequence[protocols.Driving],
  detector: landmark_metrics.Detect | None,
  *,
  judges: Judges | None = None,
  true: TrueFrames | None = None,
  samples: int = 6,
  embedded: int = 0,
  progress: Callable[[], None] = lambda: None,
) -> list[Scored]:
  """Animates every sequence, beside the trivial baselines, and scores all of them.

  Args:
    model: that is evaluated.
    clips: that `drivings` refer to; read one sequence at a time.
    drivings: from `choose`.
    detector: of landmarks, on uint8[256, 256, 3]; None: no landmark metric, hence no number for cross-driving of real
      clips.
    judges: other people's networks; what needs a missing one is not measured.
    true: renders the frames that cross-driving should give, for rendered clips.
    samples: the first sequences of each protocol keep their images.
    embedded: as in `Settings`.
    progress: called after each sequence.
  """
  scored, kept = [], dict.fromkeys(metrics.BY_PROTOCOL, 0)
  for driving in drivings:
    read = {i: clips[i] for i in {driving.source, driving.mouth, driving.pose}}
    source, mouth, pose = read[driving.source], read[driving.mouth], read[driving.pose]
    sample = predict(model, driving, source, mouth, pose, true)
    keep = driving.protocol != 'video' and kept[driving.protocol] < samples
    kept[driving.protocol] += keep
    scored.append(
      Scored(
        driving,
        source.clip_id,
        mouth.clip_id,
        pose.clip_id,
        source.identity,
        _score(driving, mouth, sample, detector, judges or Judges(), embedded),
        sample if keep else None,
      )
    )
    progress()
  return scored


def predict(
  model: Model, driving: protocols.Driving, source: Clip, mouth: Clip, pose: Clip, true: TrueFrames | None = None
) -> Sample:
  """Renders one sequence with the model and with every baseline of its protocol.

  Same-clip driving takes all banks from the driver; cross-driving mouth and pose, all others from the portrait. The
  truth is the driver's frames in the first, and in the second the rendered portrait with the drivers' factors. A model
  that hears also paints the first with the mouth from the clip's sound.
  """
  size, times = model.image_size, list(driving.frames)
  portrait = source.frame(0, size)
  mouth_frames = pose_frames = np.stack([mouth.frame(j, size) for j in times])
  motion = model.motion(mouth_frames)
  if driving.protocol == 'cross':
    pose_frames = np.stack([pose.frame(j, size) for j in times])
    motion = {'mouth': motion['mouth'], 'pose': model.motion(pose_frames)['pose']}
  encoded = model.encode(portrait)
  portrait_landmarks, mouth_landmarks = source.landmarks(size)[0], mouth.landmarks(size)[times]
  predictions = {
    GENERATED: model.generate(encoded, motion),
    UNCHANGED: np.repeat(portrait[None], len(times), axis=0),
    MOUTH_PASTED: np.stack(
      [
        transforms.swap_mouth(frame, landmarks, portrait, portrait_landmarks)
        for frame, landmarks in zip(mouth_frames, mouth_landmarks, strict=True)
      ]
    ),
  }
  if driving.protocol != 'cross' and model.hears and len(mouth.waveform):
    predictions[HEARD] = model.generate(encoded, {**motion, 'mouth': hearing.mouth_weights(model, mouth)[times]})
  if driving.protocol == 'cross':
    predictions |= {MOUTH_DRIVER: mouth_frames, POSE_DRIVER: pose_frames}
  truth = mouth_frames if driving.protocol != 'cross' else None
  if driving.protocol == 'cross' and true is not None:
    drivers = {'mouth': true_frames.states(mouth, times), 'pose': true_frames.states(pose, times)}
    states = true_frames.mixed(true_frames.state(source, 0), drivers)
    truth = np.stack([frame.image for frame in true.render(source, states, size)])
  return Sample(portrait, mouth_frames, pose_frames, predictions, truth)


def _score(
  driving: protocols.Driving,
  driver: Clip,
  sample: Sample,
  detector: landmark_metrics.Detect | None,
  judges: Judges,
  embedded: int,
) -> scoring.Scores:
  if driving.protocol != 'video':
    return scoring.score(driving.protocol, sample, detector, judges, embedded=embedded)
  size, times = len(sample.source), list(driving.frames)
  return scoring.score_video(
    sample,
    judges,
    waveform=driver.waveform[SAMPLES_PER_FRAME * times[0] : SAMPLES_PER_FRAME * (times[-1] + 1)],
    boxes=driver.face_boxes(size)[times],
    emotion=driver.emotion,
  )
