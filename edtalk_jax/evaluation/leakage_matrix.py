"""From driven portraits to the leakage matrix, its diagonal dominance and their intervals.

Entry of space s and group g of measures, in units of the measures' natural standard deviation sigma:

  M[s, g] = sqrt(mean over people, frames and the measures m of g of ((m driven - m held) / sigma_m)^2).

Portrait and driver are two independent draws of what people do, so a perfect transfer measures about sqrt(2) = 1.4 on
the diagonal, and a space that leaks nothing measures what the detector makes of a face that did not move: the rows of
the truth. Diagonal dominance of a space is M[s, s] / sum over g of M[s, g]: 1 if nothing leaks, 1/3 if all move alike.
Source: ours.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from edtalk_jax.evaluation import face_measures
from edtalk_jax.evaluation.disentanglement import Score
from edtalk_jax.evaluation.leakage import Driven, Natural
from edtalk_jax.evaluation.statistics import resampled_means

COLUMNS = tuple(face_measures.GROUPS)


@dataclasses.dataclass(frozen=True)
class Row:
  """What moved when one space was driven."""

  columns: dict[str, Score]  # group of measures -> M[s, g]
  measures: dict[str, Score]  # the same of each measure alone
  identity: Score  # distance of identity; 1: as far as another person
  background: Score  # grey levels
  dominance: Score  # NaN for a space that no group is named after
  frames: int
  missing: int  # frames in which no face was found


@dataclasses.dataclass(frozen=True)
class Matrix:
  """The leakage matrix of a model, and of the truth where that is known."""

  rows: dict[str, Row]  # by space
  dominance: Score  # mean over the spaces that a group is named after
  true_rows: dict[str, Row]
  true_dominance: Score
  natural: Natural
  portraits: int
  identities: int


def matrix(driven: Sequence[Driven], natural: Natural, *, seed: int = 0) -> Matrix:
  """Summarises what `leakage.drive` measured, each identity counting once; intervals resample identities.

  Args:
    driven: of one model.
    natural: units, from `leakage.natural`.
    seed: of the bootstrap.
  """
  rows, draws = {False: {}, True: {}}, {False: [], True: []}
  for truth, space in dict.fromkeys((d.truth, d.space) for d in driven):
    of_space = [d for d in driven if (d.truth, d.space) == (truth, space)]
    rows[truth][space], dominance = _row(space, of_space, natural, seed)
    if space in COLUMNS:
      draws[truth].append(dominance)
  generated = [d for d in driven if not d.truth]
  people = {d.identity for d in generated}
  return Matrix(
    rows[False],
    _mean_score(draws[False]),
    rows[True],
    _mean_score(draws[True]),
    natural,
    len(generated) // max(1, len(rows[False])),
    len(people),
  )


def _row(space: str, driven: Sequence[Driven], natural: Natural, seed: int) -> tuple[Row, np.ndarray]:
  """Returns the row of a space and the draws of its dominance."""
  identities = [d.identity for d in driven]
  moves = natural.spread > 1e-9  # what never moves in the data has no unit, and is left out
  unit = np.where(moves, natural.spread, 1.0)
  squares = resampled_means([(d.changes / unit) ** 2 for d in driven], identities, seed=seed)
  squares[:, ~moves] = np.nan
  columns = {}
  for group, members in face_measures.GROUPS.items():
    chosen = [k for k, name in enumerate(face_measures.NAMES) if name in members and moves[k]]
    columns[group] = np.sqrt(squares[:, chosen].mean(axis=1)) if chosen else np.full(len(squares), np.nan)
  own = columns.get(space, np.full(len(squares), np.nan))
  total = sum(columns.values())
  dominance = own / np.where(total > 0, total, np.nan)
  distance = resampled_means(
    [d.identity_distance[:, None] / natural.between_people for d in driven], identities, seed=seed
  )[:, 0]
  background = resampled_means([d.background[:, None] for d in driven], identities, seed=seed)[:, 0]
  lost = sum(int(np.isnan(d.changes).any(axis=1).sum()) for d in driven)
  return Row(
    columns={group: score(values) for group, values in columns.items()},
    measures={name: score(np.sqrt(values)) for name, values in zip(face_measures.NAMES, squares.T, strict=True)},
    identity=score(distance),
    background=score(background),
    dominance=score(dominance),
    frames=sum(len(d.changes) for d in driven) - lost,
    missing=lost,
  ), dominance


def score(draws: np.ndarray) -> Score:
  """Returns value and 95 % interval of draws, of which the first is the value itself."""
  value, spread = float(draws[0]), draws[1:][~np.isnan(draws[1:])]
  low, high = np.percentile(spread, [2.5, 97.5]) if spread.size and not math.isnan(value) else (math.nan, math.nan)
  return Score(value, float(low), float(high))


def _mean_score(draws: Sequence[np.ndarray]) -> Score:
  return score(np.mean(draws, axis=0)) if draws else Score(math.nan, math.nan, math.nan)
