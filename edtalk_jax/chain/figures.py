"""The few numbers of an evaluation that say how a stage went, out of its metrics.json."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

MOST = 6  # figures of a stage
# The factor of rendered faces that a space should know best.
KNOWS = {'mouth': 'opening', 'motion': 'opening', 'pose': 'yaw', 'expression': 'inner_brow'}


@dataclasses.dataclass(frozen=True)
class Figure:
  """A number with its 95 % interval; NaN where there is none."""

  label: str
  value: float
  low: float = math.nan
  high: float = math.nan


def of(metrics: Mapping[str, Any]) -> list[Figure]:
  """Returns the key figures of an evaluation: the first rows of its table, or those of its pictures and spaces."""
  if 'table' in metrics:
    found = [_figure(label, row, 'mean') for label, row in metrics['table'].items()]
  else:
    found = [*_pictures(metrics), *_spaces(metrics), *_emotions(metrics)]
  return [figure for figure in found if not math.isnan(figure.value)][:MOST]


def _pictures(metrics: Mapping[str, Any]) -> Iterator[Figure]:
  gain = metrics.get('protocols', {}).get('same_clip', {}).get('gain_over_source_unchanged', {})
  if 'psnr' in gain:
    yield _figure('PSNR over source unchanged, dB', gain['psnr'], 'mean')


def _spaces(metrics: Mapping[str, Any]) -> Iterator[Figure]:
  r2 = (metrics.get('disentanglement') or {}).get('r2', {})
  for space, factors in r2.items():
    if (factor := KNOWS.get(space)) in factors:
      yield _figure(f'R² of {factor} in {space}', factors[factor], 'value')


def _emotions(metrics: Mapping[str, Any]) -> Iterator[Figure]:
  told = ((metrics.get('emotions') or {}).get('accuracy') or {}).get('expression', {})
  for view, accuracy in told.items():
    yield _figure(f'emotion told from expression, weights {view}', accuracy, 'mean')


def _figure(label: str, values: Mapping[str, Any], center: str) -> Figure:
  number = lambda name: math.nan if values.get(name) is None else float(values[name])
  return Figure(label, number(center), number('low'), number('high'))
