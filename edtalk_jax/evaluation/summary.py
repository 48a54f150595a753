"""From scored sequences to the numbers of `metrics.json`."""

import dataclasses
import math
from collections.abc import Sequence

from edtalk_jax.evaluation import metrics
from edtalk_jax.evaluation.evaluate import GENERATED, UNCHANGED, Scored
from edtalk_jax.evaluation.statistics import Interval, by_identity


@dataclasses.dataclass(frozen=True)
class ProtocolSummary:
  """All numbers of one protocol."""

  protocol: str
  sequences: int
  identities: int
  metrics: tuple[metrics.Metric, ...]  # those measured
  methods: dict[str, dict[str, Interval]]  # method -> metric key -> mean over identities
  gain: dict[str, Interval]  # metric key -> generated minus source unchanged, frame by frame


def summarise(scored: Sequence[Scored]) -> list[ProtocolSummary]:
  """Returns one summary for each protocol that has sequences."""
  summaries = []
  for protocol, columns in metrics.BY_PROTOCOL.items():
    rows = [s for s in scored if s.driving.protocol == protocol]
    if not rows:
      continue
    identities = [row.identity for row in rows]
    columns = tuple(metric for metric in columns if metric.key in rows[0].scores[GENERATED])
    methods = {
      method: {m.key: by_identity([row.scores[method][m.key] for row in rows], identities) for m in columns}
      for method in rows[0].scores
    }
    gain = {
      m.key: by_identity([row.scores[GENERATED][m.key] - row.scores[UNCHANGED][m.key] for row in rows], identities)
      for m in columns
    }
    summaries.append(ProtocolSummary(protocol, len(rows), len(set(identities)), columns, methods, gain))
  return summaries


def to_json(summaries: Sequence[ProtocolSummary], scored: Sequence[Scored]) -> dict:
  """Returns the part of `metrics.json` that holds numbers; NaN becomes None, which JSON can say."""
  protocols = {
    s.protocol: {
      'sequences': s.sequences,
      'identities': s.identities,
      'units': {metric.key: metric.unit for metric in s.metrics},
      'better': {metric.key: metric.better for metric in s.metrics},
      'methods': {name: {key: _interval(value) for key, value in row.items()} for name, row in s.methods.items()},
      'gain_over_source_unchanged': {key: _interval(value) for key, value in s.gain.items()},
    }
    for s in summaries
  }
  sequences = [
    {
      'protocol': row.driving.protocol, 'identity': row.identity,
      'source': row.source_id, 'mouth': row.mouth_id, 'pose': row.pose_id, 'frames': list(row.driving.frames),
      'means': {method: {key: _number(_mean(values)) for key, values in scores.items()}
                for method, scores in row.scores.items()},
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
