"""Evaluation of stage semantic_expression: is the emotion found in the voice, in the words, in both?

docs/stages/semantic_expression.md defines the numbers.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from data_pipeline import records, semantics
from data_pipeline.errors import DataError
from data_pipeline.index import ClipInfo
from data_pipeline.motion import Motion
from edtalk_jax.config import UserError
from edtalk_jax.evaluation import emotions, page, stage_report
from edtalk_jax.evaluation.stage_report import Request, Row
from edtalk_jax.evaluation.statistics import balanced_accuracy, by_identity
from edtalk_jax.networks.semantic import SemanticExpression
from edtalk_jax.stages import semantic_expression
from edtalk_jax.training import extraction, hand_off, record

MODES = {'sound and words': (1, 1), 'sound alone': (1, 0), 'words alone': (0, 1)}
TRUE = 'true weights'
INTRODUCTION = (
  'Expression weights of held-out clips are predicted from their sound and words. Their label is told by a linear '
  'discriminant of the true weights of the people trained on. Every emotion counts alike: guessing is right one time '
  'in as many as there are emotions.'
)
COUNTED = ' Weights count from those of the person in neutral clips, which are left out.'


@dataclasses.dataclass(frozen=True)
class Predicted:
  """Expression weights of labelled clips.

  Attributes:
    infos: of the clips.
    weights: by `MODES` and `TRUE`, float[clips, size]; NaN where a clip has nothing to predict them from.
    usual: mean of the weights trained on, float[size].
    deviation: their standard deviation, float[size].
  """

  infos: Sequence[ClipInfo]
  weights: dict[str, np.ndarray]
  usual: np.ndarray
  deviation: np.ndarray


@dataclasses.dataclass(frozen=True)
class Known:
  """Mean expression weights of the clips that the classifier is fitted on, float[clips, size], and their labels."""

  weights: np.ndarray
  labels: list[str]


def run(request: Request) -> dict:
  """Evaluates a run of stage semantic_expression; see `evaluation.run.run`."""
  restored = hand_off.read_run(request.workdir, request.which, raw=request.raw)
  config, params = restored.config, restored.params['semantic']
  source = extraction.reader(request.workdir, config)
  motion = Motion(extraction.ensure(source, request.data, [request.split]), request.split)
  clips = records.Clips(request.data, request.split)
  relative = config.semantic.target == 'from_neutral'
  true = expressions(clips.infos, motion, relative)
  known, notes = _known(request, source, relative)
  places = stage_report.chosen([clips.infos[k] for k in true], request.clips, request.seed, semantics.any_clip)
  numbers = [list(true)[place] for place in places]
  infos = [clips.infos[number] for number in numbers]
  labels = sorted({*known.labels} & {info.emotion for info in infos})
  if len(labels) < 2:
    raise UserError(
      f'{request.data}: split {request.split} has clips of {len(labels)} of the emotions trained on; 2 '
      'or more are needed to tell them apart'
    )
  weights, unmeasured = _weights(config, params, clips, numbers, request.data)
  weights[TRUE] = np.stack([true[number] for number in numbers])
  predicted = Predicted(infos, weights, *(np.asarray(params[name]) for name in ('target_mean', 'target_deviation')))
  accuracies, confusion = told(predicted, known, labels)
  shown = next(iter(confusion))
  return stage_report.finish(
    request,
    clips,
    stage='semantic_expression',
    step=restored.step,
    rows=[*accuracies, *distances(predicted)],
    introduction=INTRODUCTION + COUNTED * relative,
    notes=notes + unmeasured,
    sections=[_confusion(shown, labels, confusion[shown])],
    numbers={'labels': labels, 'confusion': confusion},
  )


def _known(request: Request, source: hand_off.Opened, relative: bool) -> tuple[Known, list[str]]:
  """The clips trained on, and notes."""
  home, split, notes = record.read(pathlib.Path(request.workdir))['data']['path'], 'train', []
  try:
    clips = records.Clips(home, split)
  except (DataError, TypeError):
    home, split = request.data, request.split
    clips = records.Clips(home, split)
    notes.append(
      'The training records are gone: labels are told by what the people evaluated look like, which '
      'flatters every accuracy.'
    )
  found = expressions(clips.infos, Motion(extraction.ensure(source, home, [split]), split), relative)
  return Known(np.array([*found.values()]), [clips.infos[number].emotion for number in found]), notes


def expressions(infos: Sequence[ClipInfo], motion: Motion, relative: bool) -> dict[int, np.ndarray]:
  """Number of a labelled clip -> its mean expression weights.

  With `relative`, less the mean of the person's neutral clips; of people who have some, and without these clips, whose
  weights would be zero.
  """
  weights = {
    k: semantics.mean_expression(motion, info.clip_id)
    for k, info in enumerate(infos)
    if info.emotion and info.clip_id in motion
  }
  if not relative or not weights:
    return weights
  numbers, values = [*weights], np.array([*weights.values()])
  kept, more = emotions.from_neutral(
    values, *([getattr(infos[k], name) for k in numbers] for name in ('emotion', 'identity'))
  )
  return {numbers[row]: own for row, own in zip(kept, more, strict=True)}


def _weights(config, params, clips, numbers: Sequence[int], data: str) -> tuple[dict[str, np.ndarray], list[str]]:
  """`Predicted.weights` without `TRUE`, and notes."""
  module, weights, notes = semantic_expression.network(config), {}, []
  inputs, there = _features(config, module, clips, numbers, data)
  for mode, used in MODES.items():
    given = there * np.array(used, np.float32)
    if given.any(1).mean() < 0.5:
      notes.append(f'{mode}: most clips have none, so it was not measured.')
      continue
    weights[mode] = np.where(given.any(1, keepdims=True), _predict(module, params, *inputs, given), np.nan)
  return weights, notes


def _features(config, module: SemanticExpression, clips, numbers, data: str) -> tuple[tuple, np.ndarray]:
  """(sound, words) of every clip, float32[clips, sizes], and which of them are there, float32[clips, 2]."""
  settings, vectors, there = config.semantic, ([], []), []
  for number in numbers:
    clip = clips[number]
    found = (semantics.audio_features(clip, settings.audio), semantics.text_features(clip.clip_id, settings.text, data))
    there.append([vector is not None for vector in found])
    for vector, size, kept in zip(found, (module.audio, module.text), vectors, strict=True):
      kept.append(np.zeros(size, np.float32) if vector is None else vector)
  return tuple(np.stack(kept) for kept in vectors), np.array(there, np.float32)


@functools.partial(jax.jit, static_argnums=0)
def _predict(module: SemanticExpression, params, audio, text, known) -> jax.Array:
  return module.apply({'params': params}, module.apply({'params': params}, audio, text, known), method='destandardise')


def told(predicted: Predicted, known: Known, labels: list[str]) -> tuple[list[Row], dict[str, list[list[int]]]]:
  """How well labels are told, and how often each label (rows) is taken for which (columns), by what told it.

  Clips without predicted weights do not count.
  """
  rows, confusion = [], {}
  for mode, weights in predicted.weights.items():
    kept = np.flatnonzero(np.isfinite(weights).all(1))
    people, wanted = zip(*((predicted.infos[k].identity, predicted.infos[k].emotion) for k in kept), strict=True)
    found = emotions.discriminant(known.weights, known.labels, weights[kept], labels)
    note = (
      'when the weights are not predicted but seen'
      if mode == TRUE
      else f'which of {len(labels)} emotions; 1 in {len(labels)} by chance'
    )
    note += f'; of the {len(kept)} clips of {len(weights)} that have any' if len(kept) < len(weights) else ''
    rows.append(Row(f'label from {mode}', note, balanced_accuracy(found, wanted, labels, people)))
    pairs = list(zip(wanted, found, strict=True))
    confusion[mode] = [[pairs.count((own, other)) for other in labels] for own in labels]
  return rows, confusion


def distances(predicted: Predicted) -> list[Row]:
  """How far predicted weights are from the true ones, and how far one answer for all clips would be."""
  true, people = predicted.weights[TRUE], [info.identity for info in predicted.infos]

  def distance(weights):
    return by_identity(list((np.abs(weights - true) / predicted.deviation).mean(1, keepdims=True)), people)

  rows = [
    Row(
      f'distance from {mode}',
      'mean absolute difference from the true weights, in standard deviations',
      distance(weights),
    )
    for mode, weights in predicted.weights.items()
    if mode != TRUE
  ]
  return [*rows, Row('distance of the mean', 'the same of one answer for all clips', distance(predicted.usual))]


def _confusion(mode: str, labels: list[str], counts: list[list[int]]) -> str:
  def cells(label, row):
    total = max(1, sum(row))
    return [page.text(label), *(page.heat(str(count), f'{count / total:.0%}', count / total) for count in row)]

  table = page.table(['', *labels], [('', cells(label, row)) for label, row in zip(labels, counts, strict=True)])
  return f'<h2>What is taken for what</h2><p>Rows: the label. Columns: found in {page.text(mode)}.</p>' + table
