"""From scored sequences to the numbers of `metrics.json`."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from edtalk_jax.evaluation import frechet, metrics
from edtalk_jax.evaluation.evaluate import Scored
from edtalk_jax.evaluation.scoring import GENERATED, TRUE, UNCHANGED
from edtalk_jax.evaluation.statistics import Interval, by_identity

FID = 'fid'


@dataclasses.dataclass(frozen=True)
class ProtocolSummary:
  """All numbers of one protocol."""

  protocol: str
  sequences: int
  identities: int
  metrics: tuple[metrics.Metric, ...]  # those measured
  methods: dict[str, dict[str, Interval]]  # method -> metric key -> mean over identities
  gain: dict[str, Interval]  # metric key -> generated minus source unchanged, frame by frame
  skipped: tuple[metrics.Metric, ...] = ()  # those that could not be measured


def summarise(scored: Sequence[Scored]) -> list[ProtocolSummary]:
  """Returns one summary for each protocol that has sequences."""
  summaries = []
  for protocol, columns in metrics.BY_PROTOCOL.items():
    rows = [s for s in scored if s.driving.protocol == protocol]
    if not rows:
      continue
    identities = [row.identity for row in rows]
    measured = tuple(metric for metric in columns if metric.key in _keys(rows[0].scores[GENERATED]))
    drawn = {name: scores for row in rows for name, scores in row.scores.items()}
    names = [name for name, scores in drawn.items() if {m.key for m in measured} <= _keys(scores)]
    methods = {name: {m.key: _over(rows, name, m.key) for m in measured} for name in names}
    gain = {
      m.key: by_identity([row.scores[GENERATED][m.key] - row.scores[UNCHANGED][m.key] for row in rows], identities)
      for m in measured
      if m.key != FID
    }
    if FID in methods.get(GENERATED, {}):
      gain[FID] = _alone(methods[GENERATED][FID].mean - methods[UNCHANGED][FID].mean, methods[GENERATED][FID])
    skipped = tuple(metric for metric in columns if metric not in measured)
    summaries.append(ProtocolSummary(protocol, len(rows), len(set(identities)), measured, methods, gain, skipped))
  return summaries


def _keys(scores: dict[str, np.ndarray]) -> set[str]:
  """Names of the metrics that there are values of; FID is made of features."""
  return {FID if key == metrics.FEATURES else key for key in scores}


def _over(rows: Sequence[Scored], method: str, key: str) -> Interval:
  """Over the sequences that the method drew: sound drives no clip that has none."""
  rows = [row for row in rows if method in row.scores]
  identities = [row.identity for row in rows]
  if key != FID:
    return by_identity([row.scores[method][key] for row in rows], identities)
  ours, true = (np.concatenate([row.scores[name][metrics.FEATURES] for row in rows]) for name in (method, TRUE))
  value = frechet.distance(ours, true) if len(ours) > 1 else math.nan
  return Interval(value, math.nan, math.nan, len(set(identities)), len(ours), 0)


def _alone(value: float, like: Interval) -> Interval:
  return dataclasses.replace(like, mean=value)


def to_json(summaries: Sequence[ProtocolSummary], scored: Sequence[Scored]) -> dict:
  """Returns the part of `metrics.json` that holds numbers; NaN becomes None, which JSON can say."""
  protocols = {
    s.protocol: {
      'sequences': s.sequences,
      'identities': s.identities,
      'units': {metric.key: metric.unit for metric in s.metrics},
      'better': {metric.key: metric.better for metric in s.metrics},
      'skipped': [metric.key for metric in s.skipped],
      'methods': {name: {key: _interval(value) for key, value in row.items()} for name, row in s.methods.items()},
      'gain_over_source_unchanged': {key: _interval(value) for key, value in s.gain.items()},
    }
    for s in summaries
  }
  sequences = [
    {
      'protocol': row.driving.protocol,
      'identity': row.identity,
      'source': row.source_id,
      'mouth': row.mouth_id,
      'pose': row.pose_id,
      'frames': list(row.driving.frames),
      'means': {
        method: {key: _number(_mean(values)) for key, values in scores.items() if key != metrics.FEATURES}
        for method, scores in row.scores.items()
      },
    }
    for row in scored
  ]
  return {'protocols': protocols, 'sequences': sequences}


def _interval(interval: Interval) -> dict:
  return {key: _number(value) for key, value in dataclasses.asdict(interval).items()}


def _number(value: float) -> float | None:
  return None if math.isnan(value) else value


def _mean(values) -> float:
  finite = values[values == values]
  return float(finite.mean()) if finite.size else math.nan
