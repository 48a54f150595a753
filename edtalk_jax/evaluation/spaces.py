"""How far the motion spaces of a model are apart, in numbers: what `eval.py` and scripts call.

model, clips = edtalk_jax.load('runs/mouth_pose'), records.Clips('records', 'test')
numbers = spaces.to_json(spaces.measure(model, clips, detector=faces.LandmarkDetector().detect))
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from data_pipeline.errors import DataError
from edtalk_jax.evaluation import (
  disentanglement,
  emotions,
  face_identity,
  face_measures,
  landmark_metrics,
  leakage,
  leakage_matrix,
  protocols,
  sweeps,
  true_frames,
)
from edtalk_jax.model import Model, Motion

READ = 20  # times as many clips as are asked for are read, up to the default, where nothing is painted of them


@dataclasses.dataclass(frozen=True)
class Settings:
  """How much is measured."""

  clips: int = 60  # whose weights are read, identities in turn; 0: all
  frames: int = 15  # of each of them, evenly spaced; 0: all
  fit_clips: int = 120  # of people who only help to fit the probes of true factors; 0: all
  fit_frames: int = 8
  labelled_clips: int = 600  # whose labels are told; 0: all
  labelled_fit_clips: int = 600  # of people who only help to fit the classifier; 0: all
  labelled_frames: int = 6
  driven: leakage.Settings = dataclasses.field(default_factory=leakage.Settings)
  pictures: int = 3  # portraits that are swept through the spaces
  seed: int = 0


@dataclasses.dataclass(frozen=True)
class Codes:
  """Motion weights of frames of the data."""

  weights: Motion  # space -> float32[frames, size]
  factors: dict[str, np.ndarray] | None  # true factors, name -> float32[frames]; None for real video
  identities: list[str]  # of each frame


@dataclasses.dataclass(frozen=True)
class Spaces:
  """All that is known about how far the spaces are apart; None is what could not be measured, `notes` say why."""

  codes: Codes
  scores: disentanglement.Scores | None
  matrix: leakage_matrix.Matrix | None
  emotions: emotions.Emotions | None
  sweeps: list[sweeps.Sweep]
  notes: list[str]


def limited(clips: int, seed: int) -> Settings:
  """Returns the default settings, but at most `clips` portraits, and `READ` times as many clips (0: all of them)."""
  default = Settings()
  most = lambda count, wanted: min(count, wanted) if clips else 0
  return Settings(
    clips=most(default.clips, READ * clips),
    labelled_clips=most(default.labelled_clips, READ * clips),
    labelled_fit_clips=most(default.labelled_fit_clips, READ * clips),
    seed=seed,
    driven=leakage.Settings(portraits=most(default.driven.portraits, clips), seed=seed),
  )


def measure(
  model: Model,
  clips,
  settings: Settings | None = None,
  *,
  detector: landmark_metrics.Detect | None = None,
  fit: Any = None,
  progress: Callable[[str], None] = lambda what: None,
) -> Spaces:
  """Measures the scores against true factors (rendered data) and the leakage matrix (with a detector).

  Args:
    model: whose spaces are looked at.
    clips: `data_pipeline.records.Clips` of people the model was not trained on.
    settings: how much; default: `Settings()`.
    detector: of landmarks, on uint8[256, 256, 3]; None: no leakage matrix.
    fit: clips of other people (such as those trained on) that help to fit the probes of true factors, and that the
      classifier of emotions is fitted on, but that are not scored: what has seen a handful of people mistakes their
      faces for motion.
    progress: called with a word on what is next, many times.
  """
  settings = settings or Settings()
  progress('reading motion weights')
  codes = read_codes(model, clips, settings.clips, settings.frames, settings.seed)
  more = None
  if fit is not None and codes.factors is not None:
    more = read_codes(model, fit, settings.fit_clips, settings.fit_frames, settings.seed)
  scores, notes = score_codes(codes, more, settings.seed)
  told = None
  if fit is not None:
    progress('telling emotions')
    read = lambda part, count: emotions.read(model, part, count, settings.labelled_frames, settings.seed)
    told = emotions.tell(read(fit, settings.labelled_fit_clips), read(clips, settings.labelled_clips))
    notes += emotions.unmeasured(told)
  true = true_frames.find(clips)
  driven = settings.driven
  pairs = protocols.pairs(clips.infos, count=driven.portraits, frames=driven.frames, seed=driven.seed)
  matrix = None
  if not pairs:
    notes.append('Leakage between the spaces was not measured: the split has one identity, and nobody else drives it.')
  elif detector is None:
    notes.append('Leakage between the spaces was not measured: it needs landmarks.')
  else:
    matrix, unmeasured = measure_leakage(model, clips, pairs, driven, detector, true, progress)
    notes += unmeasured
  progress('painting sweeps')
  pictures = sweeps.sweep(model, clips, pairs[: settings.pictures], codes.weights, codes.identities, true)
  return Spaces(codes, scores, matrix, told, pictures, notes)


def read_codes(model: Model, clips, count: int, frames: int, seed: int) -> Codes:
  """Returns the weights of evenly spaced frames of `count` clips, identities in turn; 0: all."""
  weights, factors, identities = [], [], []
  for number, indices in protocols.survey(clips.infos, count=count, frames=frames, seed=seed):
    clip = clips[number]
    weights.append(model.motion(np.stack([clip.frame(j, model.image_size) for j in indices])))
    identities += [clip.identity] * len(indices)
    if clip.factors is not None:
      factors.append({name: values[list(indices)] for name, values in clip.factors.items()})
  joined = {space: np.concatenate([part[space] for part in weights]) for space in model.banks}
  known = 0 < len(factors) == len(weights)
  return Codes(
    joined, {name: np.concatenate([f[name] for f in factors]) for name in factors[0]} if known else None, identities
  )


def score_codes(
  codes: Codes, fit: Codes | None = None, seed: int = 0
) -> tuple[disentanglement.Scores | None, list[str]]:
  """Returns the scores of `codes` against the true factors, or None and the sentence that says why.

  Args:
    codes: that are scored.
    fit: of other people, that help to fit the probes.
    seed: of folds and bootstrap.
  """
  if codes.factors is None:
    return None, []
  parts = [codes] if fit is None or fit.factors is None else [codes, fit]
  identities = [identity for part in parts for identity in part.identities]
  if (people := len(set(identities))) < 3:
    return None, [f'No R2, DCI and SAP: three identities are needed to hold out in turn, there are {people}.']
  return disentanglement.score(
    {space: np.concatenate([part.weights[space] for part in parts]) for space in codes.weights},
    {name: np.concatenate([part.factors[name] for part in parts]) for name in codes.factors},
    identities,
    true_frames.GROUPS,
    scored=np.arange(len(identities)) < len(codes.identities),
    seed=seed,
  ), []


def measure_leakage(
  model: Model,
  clips,
  pairs: Sequence[protocols.Pair],
  settings: leakage.Settings,
  detector: landmark_metrics.Detect,
  true: true_frames.TrueFrames | None,
  progress: Callable[[str], None],
) -> tuple[leakage_matrix.Matrix, list[str]]:
  """Returns the leakage matrix and sentences on what could not be measured."""
  notes, embed = [], face_identity.embed
  try:
    face_identity.load()
  except DataError as error:
    embed = None
    notes.append(f'No distance of identity: {error}')
  surveyed = protocols.survey(clips.infos, count=settings.surveyed, frames=settings.frames, seed=settings.seed)
  progress('measuring what faces do in the data')
  natural = leakage.natural(clips, surveyed, model.image_size, detector, embed)
  driven = leakage.drive(
    model,
    clips,
    pairs,
    detector,
    embed=embed,
    embedded=settings.embedded,
    true=true,
    progress=lambda: progress('driving one space at a time'),
  )
  return leakage_matrix.matrix(driven, natural, seed=settings.seed), notes


def to_json(spaces: Spaces | None) -> dict[str, Any]:
  """Returns the sections `disentanglement`, `leakage` and `emotions` of metrics.json; None: not measured."""
  scores, matrix, told = (None,) * 3 if spaces is None else (spaces.scores, spaces.matrix, spaces.emotions)
  return {
    'disentanglement': None if scores is None else _plain(scores),
    'leakage': None if matrix is None else _matrix(matrix),
    'emotions': None if told is None else _plain(told),
  }


def _matrix(matrix: leakage_matrix.Matrix) -> dict[str, Any]:
  content = _plain(matrix)
  content['natural']['spread'] = dict(zip(face_measures.NAMES, content['natural']['spread'], strict=True))
  content['natural']['units'] = {name: face_measures.UNITS.get(name, 'mm') for name in face_measures.NAMES}
  return content


def _plain(value: Any) -> Any:
  """Returns dataclasses as dictionaries and arrays as lists, NaN as None, which JSON can say."""
  if dataclasses.is_dataclass(value):
    return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
  if isinstance(value, dict):
    return {key: _plain(item) for key, item in value.items()}
  if isinstance(value, np.ndarray):
    value = value.tolist()
  if isinstance(value, list | tuple):
    return [_plain(item) for item in value]
  return None if isinstance(value, float) and math.isnan(value) else value
