"""What moves when one motion space is driven and the others are held: the leakage matrix. docs/evaluation.md.

A portrait of one person is painted with the weights of another person's frames in one space and its own in all others.
What changed against the same portrait painted with its own weights throughout is measured in the pictures: mouth, head
pose and expression (`face_measures`), who is shown (`face_identity`) and the background. Source: ours.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from edtalk_jax.evaluation import face_measures, landmark_metrics, protocols, true_frames
from edtalk_jax.evaluation.background import mean_change, outside_faces, rendered_background
from edtalk_jax.evaluation.face_identity import Embed
from edtalk_jax.evaluation.true_frames import TrueFrames
from edtalk_jax.model import Model


@dataclasses.dataclass(frozen=True)
class Settings:
  """How much is driven."""

  portraits: int = 16  # clips whose first frame is animated, identities in turn; 0: all
  frames: int = 6  # of each driver, evenly spaced; 0: all
  embedded: int = 2  # of these frames, for the distance of identity, whose network is slow
  surveyed: int = 40  # clips from which the natural spread of the measures is taken; 0: all
  seed: int = 0


@dataclasses.dataclass(frozen=True)
class Driven:
  """One portrait with one space driven: changes against the portrait that is driven by nothing."""

  space: str  # which was driven
  truth: bool  # rendered from the factors of that space, not generated
  identity: str  # of the portrait
  changes: np.ndarray  # float64[frames, face_measures.NAMES], driven minus held; NaN where a face was not found
  identity_distance: np.ndarray  # float64[frames]; NaN where not measured
  background: np.ndarray  # float64[frames], mean absolute change in grey levels


@dataclasses.dataclass(frozen=True)
class Natural:
  """What the measures do in the data."""

  spread: np.ndarray  # float64[face_measures.NAMES], standard deviation about each person's own mean
  between_people: float  # mean distance of identity between portraits of different people; NaN where not measured
  frames: int
  missing: int  # frames without a face


def drive(
  model: Model,
  clips: Sequence,
  pairs: Sequence[protocols.Pair],
  detector: landmark_metrics.Detect,
  *,
  embed: Embed | None = None,
  embedded: int = 2,
  true: TrueFrames | None = None,
  progress: Callable[[], None] = lambda: None,
) -> list[Driven]:
  """Drives one space at a time.

  Args:
    model: that paints.
    clips: `data_pipeline.records.Clips` that `pairs` refer to.
    pairs: from `protocols.pairs`.
    detector: of landmarks, on uint8[256, 256, 3].
    embed: identity of a face; None: not measured.
    embedded: frames of each sequence that are embedded.
    true: renders these clips again; then every pair is also driven in truth, by the factors of each space alone.
    progress: called after each pair.
  """
  done = []
  for pair in pairs:
    portrait, driver = clips[pair.portrait], clips[pair.driver]
    motion = model.motion(np.stack([driver.frame(j, model.image_size) for j in pair.frames]))
    source = model.encode(portrait.frame(0, model.image_size))
    spaces = dict.fromkeys((*model.banks, *true_frames.GROUPS))
    truths = (
      {}
      if true is None
      else {space: _true(true, portrait, driver, pair.frames, space, model.image_size) for space in spaces}
    )
    look = _Look(model.generate(source, source.motion)[0], detector, embed, embedded)
    for space in model.banks:
      empty = truths[space][1] if truths else None
      done.append(look.at(model.generate(source, {space: motion[space]}), space, portrait.identity, empty))
    if true is not None:
      still = true.render(portrait, true_frames.states(portrait, [0]), model.image_size)[0].image
      look = _Look(still, detector, embed, embedded)
      for space in true_frames.GROUPS:
        frames, empty = truths[space]
        done.append(look.at(frames, space, portrait.identity, empty, truth=True))
    progress()
  return done


def natural(
  clips: Sequence,
  surveyed: Sequence[tuple[int, Sequence[int]]],
  size: int,
  detector: landmark_metrics.Detect,
  embed: Embed | None = None,
) -> Natural:
  """Measures frames of the data with the same detector, at the model's size.

  Args:
    clips: `data_pipeline.records.Clips`.
    surveyed: (clip, frames), from `protocols.survey`.
    size: of the model's frames.
    detector, embed: as of `drive`; the first frame of each person is embedded.
  """
  measured, people, faces = [], [], {}
  for number, indices in surveyed:
    clip = clips[number]
    frames = [clip.frame(j, size) for j in indices]
    landmarks = landmark_metrics.detect(frames, detector)
    measured.append(face_measures.measure(landmarks, landmark_metrics.SIZE))
    people += [clip.identity] * len(frames)
    if embed is not None and clip.identity not in faces:
      faces[clip.identity] = embed(frames[0], landmarks[0])
  values, people = np.concatenate(measured), np.array(people)
  found = ~np.isnan(values).any(axis=1)
  spread = within_identities(values[found], people[found])
  return Natural(spread, _between(list(faces.values())), int(found.sum()), int((~found).sum()))


def within_identities(values: np.ndarray, people: np.ndarray) -> np.ndarray:
  """Returns the standard deviation of values[frames, n] about each person's mean, float64[n]; NaN below two frames."""
  names, person, count = np.unique(people, return_inverse=True, return_counts=True)
  if len(values) <= len(names):
    return np.full(values.shape[1], np.nan)
  means = np.zeros((len(names), values.shape[1]))
  np.add.at(means, person, values)
  deviations = values - (means / count[:, None])[person]
  return np.sqrt((deviations**2).sum(axis=0) / (len(values) - len(names)))


class _Look:
  """Compares frames with one that is driven by nothing, uint8[size, size, 3]."""

  def __init__(self, held: np.ndarray, detector: landmark_metrics.Detect, embed: Embed | None, embedded: int):
    self.held, self.detector, self.embed, self.embedded = held, detector, embed, embedded
    self.landmarks = landmark_metrics.detect([held], detector)
    self.face = None if embed is None else embed(held, self.landmarks[0])

  def at(self, frames: np.ndarray, space: str, identity: str, empty: np.ndarray | None, truth: bool = False) -> Driven:
    """Measures frames; `empty` bool[frames, size, size] tells background, None: what lies outside both faces."""
    landmarks = landmark_metrics.detect(frames, self.detector)
    first, changed = (face_measures.measure(points, landmark_metrics.SIZE) for points in (self.landmarks, landmarks))
    changes = changed - first
    for k in (face_measures.NAMES.index(name) for name in ('yaw', 'pitch', 'roll')):
      changes[:, k] = (changes[:, k] + 180) % 360 - 180
    if empty is None:
      empty = outside_faces(self.landmarks, landmarks, frames.shape[1])
    return Driven(
      space, truth, identity, changes, self._distances(frames, landmarks), mean_change(frames, self.held, empty)
    )

  def _distances(self, frames: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    distances = np.full(len(frames), np.nan)
    if self.embed is not None and self.embedded:
      for k in np.linspace(0, len(frames) - 1, min(len(frames), self.embedded)).round().astype(int):
        distances[k] = np.linalg.norm(self.embed(frames[k], landmarks[k]) - self.face)
    return distances


def _true(true: TrueFrames, portrait, driver, indices, space: str, size: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns the true driven frames uint8[frames, size, size, 3] and where portrait and they show background."""
  own = true_frames.state(portrait, 0)
  states = true_frames.mixed(own, {space: true_frames.states(driver, indices)})
  rendered = true.render(portrait, np.concatenate([own[None], states]), size)
  return np.stack([frame.image for frame in rendered[1:]]), rendered_background(rendered)


def _between(faces: list[np.ndarray]) -> float:
  """Mean distance of all pairs, NaN without a pair."""
  found = np.array([face for face in faces if not np.isnan(face).any()])
  if len(found) < 2:
    return np.nan
  first, second = np.triu_indices(len(found), 1)
  return float(np.linalg.norm(found[first] - found[second], axis=1).mean())
