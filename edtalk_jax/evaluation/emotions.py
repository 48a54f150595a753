"""Which emotion do the weights of each motion space tell, of people that the classifier was not fitted on?

A space of expression should tell it, and the spaces of mouth and pose less. Weights are averaged over the frames of a
clip; a linear discriminant (Fisher, 1936: the nearest mean under the covariance within labels, every label alike) is
fitted on people trained on. Twice: of the weights as they are, which also tell who it is, and of what they are more
than in the person's own neutral clips. Source: ours.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from edtalk_jax.evaluation import protocols
from edtalk_jax.evaluation.statistics import Interval, balanced_accuracy
from edtalk_jax.model import Model, Motion

AS_THEY_ARE, FROM_NEUTRAL = 'as they are', 'from neutral'
NEUTRAL = 'neutral'
PEOPLE = 30  # whom the clips read are of at least, if there are so many
SHRINKAGE = 0.01  # of the covariance towards its diagonal; hundreds of clips leave little for it to do


@dataclasses.dataclass(frozen=True)
class Means:
  """Mean weights of labelled clips."""

  weights: Motion  # space -> float32[clips, size]
  labels: list[str]
  people: list[str]

  def from_neutral(self) -> 'Means':
    """What emotional clips are more than the person's neutral ones; of people who have both."""
    found = {space: from_neutral(values, self.labels, self.people) for space, values in self.weights.items()}
    kept = next(iter(found.values()))[0]
    weights = {space: values for space, (_, values) in found.items()}
    return Means(weights, [self.labels[k] for k in kept], [self.people[k] for k in kept])


@dataclasses.dataclass(frozen=True)
class Emotions:
  """Accuracy by space and by what the classifier is shown (`AS_THEY_ARE`, `FROM_NEUTRAL`)."""

  accuracy: dict[str, dict[str, Interval]]
  labels: dict[str, list[str]]  # told apart in each of the two; one in as many is right by chance
  fitted_clips: int


def from_neutral(weights: np.ndarray, labels: Sequence[str], people: Sequence[str]) -> tuple[list[int], np.ndarray]:
  """What emotional clips are more than the mean of the person's neutral ones.

  Args:
    weights: float[clips, size].
    labels, people: of each clip.

  Returns:
    The rows of `weights` of emotional clips of people who have neutral ones, and float[clips, size] of these.
  """
  calm: dict[str, list[int]] = {}
  for k, (who, label) in enumerate(zip(people, labels, strict=True)):
    if label == NEUTRAL:
      calm.setdefault(who, []).append(k)
  kept = [k for k, who in enumerate(people) if labels[k] != NEUTRAL and who in calm]
  return kept, np.array([weights[k] - weights[calm[people[k]]].mean(0) for k in kept])


def read(model: Model, clips, count: int, frames: int, seed: int) -> Means:
  """Reads evenly spaced frames of at most `count` labelled clips (0: all) of as many people as have them.

  They are chosen person by person, so that neutral clips are there with the others, but of nobody more than a
  `PEOPLE`-th: some sets have hundreds of each.
  """
  infos = clips.infos
  labelled = [k for k, info in enumerate(infos) if getattr(info, 'emotion', '')]
  candidates = [infos[k] for k in labelled]
  # '' is first in the alphabet, so that neutral clips are never those that are left out.
  labels = ['' if info.emotion == NEUTRAL else info.emotion for info in candidates]
  chosen = protocols.by_person(candidates, labels, count=count, frames=frames, each=-(-count // PEOPLE), seed=seed)
  found = []
  for place, times in chosen:
    clip = clips[labelled[place]]
    found.append(model.motion(np.stack([clip.frame(j, model.image_size) for j in times])))
  own = [infos[labelled[place]] for place, _ in chosen]
  weights = {space: np.array([motion[space].mean(0) for motion in found]) for space in model.banks}
  return Means(weights, [info.emotion for info in own], [info.identity for info in own])


def tell(fit: Means, held_out: Means) -> Emotions | None:
  """Returns how well a classifier fitted on `fit` labels `held_out`; None if there are not two labels to tell apart."""
  accuracy, told = {space: {} for space in held_out.weights}, {}
  for view, (known, new) in {
    AS_THEY_ARE: (fit, held_out),
    FROM_NEUTRAL: (fit.from_neutral(), held_out.from_neutral()),
  }.items():
    labels = sorted(set(known.labels) & set(new.labels))
    if len(labels) < 2:
      continue
    told[view] = labels
    for space, values in new.weights.items():
      found = discriminant(known.weights[space], known.labels, values, labels)
      accuracy[space][view] = balanced_accuracy(found, new.labels, labels, new.people)
  return Emotions(accuracy, told, len(fit.labels)) if told else None


def unmeasured(told: Emotions | None) -> list[str]:
  """Sentences about what could not be told."""
  if told is None:
    return ['Emotions were not told from weights: fewer than two labels are in both splits.']
  if FROM_NEUTRAL not in told.labels:
    return ['Emotions were not told from neutral: too few of the people read have neutral and emotional clips.']
  return []


def discriminant(known: np.ndarray, labels: Sequence[str], new: np.ndarray, among: Sequence[str]) -> list[str]:
  """Labels new[clips, size] by the linear discriminant of known[clips, size], whose labels are `labels`.

  Args:
    known: weights whose labels are known.
    labels: of each row of `known`.
    new: weights to be labelled.
    among: labels that may be given.
  """
  known, labels = np.asarray(known, np.float64), np.asarray(labels)
  means = np.stack([known[labels == label].mean(0) for label in among])
  rest = np.concatenate([known[labels == label] - mean for label, mean in zip(among, means, strict=True)])
  covariance = rest.T @ rest / len(rest)
  spread = np.diag(covariance)
  covariance = (1 - SHRINKAGE) * covariance + np.diag(SHRINKAGE * spread + 1e-9 * spread.max() + 1e-30)
  slopes = np.linalg.solve(covariance, means.T)
  scores = np.asarray(new, np.float64) @ slopes - (means.T * slopes).sum(0) / 2
  return [among[k] for k in scores.argmax(1)]
