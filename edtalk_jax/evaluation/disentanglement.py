"""How well motion spaces keep known factors apart: R2, DCI and SAP between whole spaces and groups of factors.

EDTalk promises that spaces are independent, not single coordinates: any rotation inside a bank is as good as another.
So a *space* (all weights of a bank) takes the place of one latent coordinate in the published scores, and a *group* of
factors (mouth, pose, expression) that of one factor. Importance is what a linear probe can read:

  R[s, g] = mean over the factors f of g that vary of R2[s, f], where R2 below `NOISE` counts as 0.

- DCI (Eastwood & Williams, ICLR 2018), with R as their matrix of importance:
  disentanglement of a space, 1 - H(R[s, :] / sum_g R[s, g]), entropy in base of the number of groups;
  completeness of a group, 1 - H(R[:, g] / sum_s R[s, g]), entropy in base of the number of spaces.
  Their means are weighted by the share of importance (their rho), so that what holds nothing counts nothing.
- SAP (Kumar et al., ICLR 2018): R of the best space for a group minus R of the second best; plain mean over groups.

All are 1 for spaces of which each tells everything about one group and nothing about the others, and 0 for codes that
tell nothing: at chance R is 0, and a score without any importance is defined as 0. DCI compares shares, so a space that
knows little, but of one group only, scores high, and shares of next to nothing look like anything; read it with its
interval and beside R2 (their third score, informativeness) and SAP, which is absolute. None of them asks whether the
group is the one that the space is named after; R shows that.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

NOISE = 0.02  # R2 below this is taken for none; held out, a useless probe is at or below 0 but for chance
RIDGE = tuple(10.0 ** np.arange(-4, 4))  # strengths tried, relative to the number of frames; codes have unit variance
FOLDS = 5
RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Score:
  """A number and its 95 % interval over resampled identities; NaN where undefined."""

  value: float
  low: float
  high: float


@dataclasses.dataclass(frozen=True)
class Scores:
  """All scores of one model on one set of frames."""

  r2: dict[str, dict[str, Score]]  # space -> factor
  importance: dict[str, dict[str, Score]]  # space -> group; R of the module's docstring
  disentanglement: dict[str, Score]  # space; and 'mean'
  completeness: dict[str, Score]  # group; and 'mean'. NaN with one space, which cannot share
  sap: dict[str, Score]  # group; and 'mean'. NaN with one space
  frames: int  # scored
  identities: int  # scored
  fitted_identities: int  # all people from whom probes were fitted, those scored included


def score(
  codes: Mapping[str, np.ndarray],
  factors: Mapping[str, np.ndarray],
  identities: Sequence[str],
  groups: Mapping[str, Sequence[str]],
  *,
  scored: np.ndarray | None = None,
  seed: int = 0,
) -> Scores:
  """Scores codes against the factors that made the pictures.

  Args:
    codes: space -> float[frames, size].
    factors: name -> float[frames]; one that does not vary has no R2 (NaN) and is left out of its group.
    identities: of every frame.
    groups: name -> names of its factors. A group in which nothing varies is NaN and counts nowhere.
    scored: bool[frames]; frames of people who only help to fit the probes are False. Default: all count.
    seed: of folds and bootstrap.

  Raises:
    ValueError: on arrays of different lengths, or fewer than three identities (folds within folds need them).
  """
  names = [name for members in groups.values() for name in members]
  wanted = np.stack([np.asarray(factors[name], np.float64) for name in names], axis=1)
  identities = np.asarray(identities)
  for label, array in [*codes.items(), ('factors', wanted)]:
    if len(array) != len(identities):
      raise ValueError(f'{label} has {len(array)} frames, identities {len(identities)}')
  errors = {
    space: held_out_errors(np.asarray(code, np.float64), wanted, identities, seed) for space, code in codes.items()
  }
  scored = np.ones(len(identities), bool) if scored is None else np.asarray(scored, bool)
  people = len(np.unique(identities[scored]))
  draws = _draws(people, seed)
  # [draws, spaces, factors]
  r2 = np.stack([_r2(error[scored], wanted[scored], identities[scored], draws) for error in errors.values()], axis=1)
  members = [[names.index(name) for name in group] for group in groups.values()]
  r = importance(r2, members)
  completeness_, disentanglement_ = completeness(r), disentanglement(r)
  sap_ = sap(r)
  return Scores(
    r2={space: _named(names, r2[:, k]) for k, space in enumerate(codes)},
    importance={space: _named(groups, r[:, k]) for k, space in enumerate(codes)},
    disentanglement=_named([*codes, 'mean'], np.column_stack([disentanglement_, _weighted(disentanglement_, r, 2)])),
    completeness=_named([*groups, 'mean'], np.column_stack([completeness_, _weighted(completeness_, r, 1)])),
    sap=_named([*groups, 'mean'], np.column_stack([sap_, _mean(sap_)])),
    frames=int(scored.sum()),
    identities=people,
    fitted_identities=len(np.unique(identities)),
  )


def held_out_errors(code: np.ndarray, factors: np.ndarray, identities: np.ndarray, seed: int = 0) -> np.ndarray:
  """Returns true minus predicted factors, float64[frames, factors], each predicted without the frame's own person.

  Identities are dealt into `FOLDS` folds (fewer if there are fewer identities). For each fold, ridge regression with an
  intercept is fitted to the others after code and factors were standardised on them; the strength is, for each factor
  on its own, the one of `RIDGE` of least squared error when the same folds but this one are held out in turn.

  Args:
    code: float[frames, size].
    factors: float[frames, factors].
    identities: [frames].
    seed: of the dealing.

  Raises:
    ValueError: on fewer than three identities.
  """
  people = np.unique(identities)
  if len(people) < 3:
    raise ValueError(f'identities must be at least 3, got {len(people)}')
  order = np.random.default_rng(seed).permutation(len(people)) % FOLDS
  fold = order[np.searchsorted(people, identities)]
  errors = np.empty_like(factors)
  for k in np.unique(fold):
    train = fold != k
    tried = np.zeros((len(RIDGE), factors.shape[1]))
    for inner in np.unique(fold[train]):
      fit, held = train & (fold != inner), fold == inner
      predicted = _ridge(code[fit], factors[fit], code[held], RIDGE)
      tried += ((predicted - factors[held]) ** 2).sum(axis=1)
    predicted = _ridge(code[train], factors[train], code[~train], RIDGE)
    errors[~train] = factors[~train] - predicted[tried.argmin(axis=0), :, np.arange(factors.shape[1])].T
  return errors


def importance(r2: np.ndarray, members: Sequence[Sequence[int]]) -> np.ndarray:
  """Returns R, float64[..., spaces, groups], of r2[..., spaces, factors]; `members` are the columns of each group."""
  told = np.where(r2 < NOISE, 0.0, r2)  # keeps NaN
  return np.stack([_mean(told[..., list(columns)]) for columns in members], axis=-1)


def disentanglement(r: np.ndarray) -> np.ndarray:
  """Returns float64[..., spaces] of R[..., spaces, groups]; groups that are NaN are left out."""
  return _concentration(r, axis=-1)


def completeness(r: np.ndarray) -> np.ndarray:
  """Returns float64[..., groups] of R[..., spaces, groups]; NaN with one space only."""
  return np.where(np.isnan(r[..., 0, :]), np.nan, _concentration(r, axis=-2))


def sap(r: np.ndarray) -> np.ndarray:
  """Returns float64[..., groups] of R[..., spaces, groups]; NaN with one space only."""
  if r.shape[-2] < 2:
    return np.full(r.shape[:-2] + r.shape[-1:], np.nan)
  ranked = np.sort(r, axis=-2)
  return ranked[..., -1, :] - ranked[..., -2, :]


def _concentration(r: np.ndarray, axis: int) -> np.ndarray:
  """1 - entropy of the shares along an axis, in base of their number; 0 where all are 0, NaN where there is one."""
  count = (~np.isnan(r)).sum(axis=axis)
  r = np.nan_to_num(r)
  total = r.sum(axis=axis, keepdims=True)
  share = np.divide(r, total, out=np.zeros_like(r), where=total > 0)
  entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=axis)
  concentration = 1 - entropy / np.log(np.maximum(count, 2))
  return np.where(count < 2, np.nan, np.where(total.squeeze(axis) > 0, concentration, 0.0))


def _weighted(scores: np.ndarray, r: np.ndarray, axis: int) -> np.ndarray:
  """Mean of scores[draws, n] weighted by R[draws, spaces, groups] summed over `axis`; 0 without any importance."""
  weight = np.nansum(r, axis=axis)
  total = weight.sum(axis=1)
  mean = np.nansum(scores * weight, axis=1) / np.where(total > 0, total, 1.0)
  return np.where(np.isnan(scores).all(axis=1), np.nan, mean)


def _mean(values: np.ndarray) -> np.ndarray:
  """Mean over the last axis without NaN; NaN where there is nothing else, without a warning."""
  count = (~np.isnan(values)).sum(axis=-1)
  return np.where(count > 0, np.nansum(values, axis=-1) / np.maximum(count, 1), np.nan)


def _ridge(code: np.ndarray, factors: np.ndarray, new: np.ndarray, strengths: Sequence[float]) -> np.ndarray:
  """Returns predictions float64[strengths, len(new), factors] for `new` codes, from one eigendecomposition."""
  centre, spread = code.mean(axis=0), code.std(axis=0)
  spread = np.where(spread > 1e-9 * spread.max(), spread, np.inf)  # a dead coordinate tells nothing
  mean = factors.mean(axis=0)
  scale = factors.std(axis=0)
  scale = np.where(scale > 0, scale, 1.0)
  x, y = (code - centre) / spread, (factors - mean) / scale
  values, vectors = np.linalg.eigh(x.T @ x)
  projected = vectors.T @ (x.T @ y)
  rows = ((new - centre) / spread) @ vectors
  strengths = len(code) * np.asarray(strengths)[:, None, None]
  return mean + scale * (rows @ (projected / (np.maximum(values, 0.0)[:, None] + strengths)))


def _draws(people: int, seed: int) -> np.ndarray:
  """Returns how often each identity is drawn, float64[1 + RESAMPLES, people]; the first row takes each once."""
  drawn = np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), RESAMPLES)
  return np.vstack([np.ones(people), drawn])


def _r2(errors: np.ndarray, factors: np.ndarray, identities: np.ndarray, draws: np.ndarray) -> np.ndarray:
  """Returns R2 = 1 - SSres / SStot over all held-out frames, float64[draws, factors]; NaN where a factor is constant.

  SStot is about the mean of the frames drawn. Nothing is clipped: worse than that mean is negative.
  """
  _, person = np.unique(identities, return_inverse=True)
  flat = np.ptp(factors, axis=0) == 0
  centred = factors - factors.mean(axis=0)
  sums = [_by_person(values, person) for values in (np.ones((len(person), 1)), centred, centred**2, errors**2)]
  count, first, second, residual = (draws @ values for values in sums)
  total = second - first**2 / count
  usable = ~flat & (total > 1e-12 * second.max(axis=0))
  return np.where(usable, 1 - residual / np.where(usable, total, 1.0), np.nan)


def _by_person(values: np.ndarray, person: np.ndarray) -> np.ndarray:
  sums = np.zeros((person.max() + 1, values.shape[1]))
  np.add.at(sums, person, values)
  return sums


def _named(names: Sequence[str], draws: np.ndarray) -> dict[str, Score]:
  """Names the columns of draws[1 + RESAMPLES, n]: the first row is the value, the others its spread."""
  result = {}
  for name, column in zip(names, draws.T, strict=True):
    resampled = column[1:][~np.isnan(column[1:])]
    low, high = np.percentile(resampled, [2.5, 97.5]) if resampled.size and column[0] == column[0] else (np.nan, np.nan)
    result[name] = Score(float(column[0]), float(low), float(high))
  return result
