"""How well a score tells two kinds apart: area under the ROC curve, with people resampled."""

from collections.abc import Mapping, Sequence

import numpy as np

from edtalk_jax.evaluation.statistics import Interval

RESAMPLES = 300  # each sorts all scores


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
  """Probability that a positive scores higher than a negative, ties counted half (Hanley & McNeil, 1982).

  NaN if either is empty.
  """
  positive, negative = np.ravel(positive), np.sort(np.ravel(negative))
  if not len(positive) or not len(negative):
    return float('nan')
  below = np.searchsorted(negative, positive, side='left') + np.searchsorted(negative, positive, side='right')
  return float(below.mean() / (2 * len(negative)))


def auc_by_identity(
  positive: Sequence[np.ndarray], negative: Sequence[np.ndarray], identities: Sequence[str], *, seed: int = 0
) -> Interval:
  """AUC over all scores, and its 95 % interval from resampling identities.

  Args:
    positive: scores of each sequence that should be high.
    negative: scores of each sequence that should be low.
    identities: of each sequence.
    seed: of the bootstrap.
  """
  pools: dict[str, list[int]] = {}
  for number, identity in enumerate(identities):
    pools.setdefault(identity, []).append(number)
  groups = [pools[identity] for identity in sorted(pools)]

  def of(chosen: Sequence[int]) -> float:
    return auc(
      np.concatenate([np.ravel(positive[k]) for k in chosen]), np.concatenate([np.ravel(negative[k]) for k in chosen])
    )

  draws = np.random.default_rng(seed).integers(len(groups), size=(RESAMPLES, len(groups)))
  resampled = [of([k for group in draw for k in groups[group]]) for draw in draws]
  low, high = np.percentile(resampled, [2.5, 97.5])
  count = sum(np.size(scores) for scores in positive)
  return Interval(of(range(len(positive))), float(low), float(high), len(groups), count, 0)


def plain(interval: Interval) -> Mapping[str, float | int]:
  """An interval as JSON."""
  return {'mean': interval.mean, 'low': interval.low, 'high': interval.high, 'identities': interval.identities}
