"""Means and bootstrap intervals in which every identity counts once."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Interval:
  """A mean over identities and its 95 % bootstrap interval. All NaN where nothing could be measured."""

  mean: float
  low: float
  high: float
  identities: int
  frames: int  # frames measured
  missing: int  # frames in which the metric was undefined, e.g. no face was found


def by_identity(
  values: Sequence[np.ndarray], identities: Sequence[str], *, resamples: int = 2000, seed: int = 0
) -> Interval:
  """Summarises per-frame values of several sequences.

  The mean over the frames of each identity is taken first, so that a person with many clips weighs no more than
  another; the interval resamples identities with replacement (percentile bootstrap, Efron & Tibshirani 1993, Sec. 13).

  Args:
    values: one float array of frames for each sequence; NaN marks a frame without a value.
    identities: the identity of each sequence.
    resamples: bootstrap draws.
    seed: of the bootstrap.
  """
  if len(values) != len(identities):
    raise ValueError(f'got {len(values)} arrays of values for {len(identities)} identities')
  columns = [np.asarray(sequence, np.float64)[:, None] for sequence in values]
  known = [int((~np.isnan(column)).sum()) for column in columns]
  missing = sum(column.size for column in columns) - sum(known)
  if not any(known):
    return Interval(np.nan, np.nan, np.nan, 0, 0, missing)
  mean, *resampled = resampled_means(columns, identities, resamples=resamples, seed=seed)[:, 0]
  low, high = np.percentile(resampled, [2.5, 97.5])
  people = {identity for identity, count in zip(identities, known, strict=True) if count}
  return Interval(float(mean), float(low), float(high), len(people), sum(known), missing)


def resampled_means(
  values: Sequence[np.ndarray], identities: Sequence[str], *, resamples: int = 2000, seed: int = 0
) -> np.ndarray:
  """Returns means over identities and over resampled identities, for functions of several means.

  As `by_identity`, of several columns at once; a frame counts only if all its columns are known.

  Args:
    values: float[frames, n] of each sequence; NaN marks what is unknown.
    identities: the identity of each sequence.
    resamples: bootstrap draws.
    seed: of the bootstrap.

  Returns:
    float64[1 + resamples, n], first the means themselves. All NaN where nothing is known.
  """
  pooled: dict[str, list[np.ndarray]] = {}
  for sequence, identity in zip(values, identities, strict=True):
    pooled.setdefault(identity, []).append(sequence[~np.isnan(sequence).any(axis=1)])
  frames = [np.concatenate(arrays) for _, arrays in sorted(pooled.items())]
  means = np.array([rows.mean(axis=0) for rows in frames if len(rows)])
  if not len(means):
    return np.full((1 + resamples, values[0].shape[1] if len(values) else 0), np.nan)
  draws = np.random.default_rng(seed).integers(len(means), size=(resamples, len(means)))
  return np.concatenate([means.mean(axis=0)[None], means[draws].mean(axis=1)])


def balanced_accuracy(
  found: Sequence[str], wanted: Sequence[str], labels: Sequence[str], people: Sequence[str]
) -> Interval:
  """The accuracy in which every label counts alike: of each, the share of its clips that are found, every person alike.

  Clips of other labels do not count. The interval resamples people, as `by_identity` does.
  """
  rows = [
    np.array([[*(label == name for name in labels), *(label == name == one for name in labels)]], float)
    for one, label in zip(found, wanted, strict=True)
  ]
  there, right = np.split(resampled_means(rows, people), 2, axis=1)
  shares = np.divide(right, there, out=np.full_like(right, np.nan), where=there > 0)
  mean, *resampled = np.nanmean(shares, axis=1)
  low, high = np.percentile(resampled, [2.5, 97.5])
  count = sum(label in labels for label in wanted)
  return Interval(float(mean), float(low), float(high), len(set(people)), count, len(wanted) - count)
