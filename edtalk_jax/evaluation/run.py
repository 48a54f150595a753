"""One evaluation from a run's folder to `metrics.json` and `report.html`: what eval.py and `edtalk eval` call."""

import dataclasses
import json
import pathlib
import platform
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import numpy as np
import rich.console
import rich.progress
import rich.text
import skimage

from data_pipeline import faces, records
from data_pipeline.errors import DataError
from edtalk_jax import __version__, storage
from edtalk_jax.config import UserError
from edtalk_jax.evaluation import (
  audio_to_mouth,
  audio_to_pose,
  frozen,
  metrics,
  personalize,
  pictures,
  report,
  semantic_expression,
  spaces,
  spaces_table,
  stage_report,
  summary_table,
  sync_expert,
  true_frames,
)
from edtalk_jax.evaluation.evaluate import Scored, Settings, choose, evaluate
from edtalk_jax.evaluation.judges import shelf
from edtalk_jax.evaluation.protocols import Driving
from edtalk_jax.evaluation.scoring import GENERATED
from edtalk_jax.evaluation.summary import ProtocolSummary, summarise, to_json
from edtalk_jax.model import Model, load
from edtalk_jax.training import hand_off, record, records_copy

# Judged in their own way.
STAGES = {
  'sync_expert': sync_expert,
  'audio_to_mouth': audio_to_mouth,
  'audio_to_pose': audio_to_pose,
  'semantic_expression': semantic_expression,
  'personalize': personalize,
}


def run(
  workdir: str,
  data: str,
  *,
  split: str = 'test',
  which: Literal['latest', 'best'] = 'latest',
  raw: bool = False,
  out: str | None = None,
  settings: Settings | None = None,
  landmarks: bool = True,
  leakage: bool = True,
  judges: str | None = None,
  same_as: str | None = None,
  paintings: bool = False,
) -> dict[str, Any]:
  """Evaluates a run, prints its tables and writes its files.

  Args:
    workdir: folder of the run, or its URL on object storage, which needs `out`.
    data: folder of records, as `edtalk prepare --out` made it, or its URL.
    split: of the records; its identities should not have been trained on.
    which: checkpoint.
    raw: whether to take the parameters themselves even if the run keeps an average of them.
    out: folder for `metrics.json` and `report.html`; default: `workdir/eval/<split>/` and `workdir/report.html`.
    settings: how much is evaluated; default: `Settings()`.
    landmarks: whether to measure landmark metrics, which need the extra `faces`.
    leakage: whether to measure how far the motion spaces are apart.
    judges: folder of other people's networks, see `judges.shelf`.
    same_as: a test list that an earlier evaluation wrote: measure exactly that, whatever `settings` would choose.
    paintings: measure what the run paints even if its stage has a way of its own; the stage must have the generator.

  Returns:
    The content of `metrics.json`.

  Raises:
    UserError, data_pipeline.errors.DataError: in one line, if the run or the records cannot be read.
  """
  settings = settings or Settings()
  if storage.is_remote(workdir) and not out:
    raise UserError(f'--workdir {workdir}: give --out, a folder of this machine for metrics.json and report.html')
  folder = hand_off.fetched(workdir, which, hand_off.FOR_INFERENCE)
  console = rich.console.Console(highlight=False)
  here = records_copy.here(data, console.print)
  if (own := STAGES.get(record.read(folder).get('stage'))) is not None and not paintings:
    return own.run(stage_report.Request(str(folder), here, split, which, out, settings.clips, settings.seed, raw))
  evaluation = Evaluation(
    load(str(folder), which, raw=raw), records.Clips(here, split), shelf.open_folder(judges), settings
  )
  return measure(
    evaluation,
    {'workdir': str(workdir), 'checkpoint': which, 'data': str(data), 'split': split},
    folder,
    out=out,
    find_detector=_installed_detector if landmarks else None,
    leakage=leakage,
    fit=_others(here, split, evaluation.clips),
    same_as=same_as,
    console=console,
  )


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What is evaluated, on what, by whom, and how much."""

  model: Model
  clips: records.Clips
  judges: shelf.Judges
  settings: Settings


def measure(
  evaluation: 'Evaluation',
  asked: Mapping[str, str],
  folder: pathlib.Path,
  *,
  out: str | None = None,
  find_detector: Callable[[], Any] | None = None,
  leakage: bool = True,
  fit: records.Clips | None = None,
  same_as: str | None = None,
  console: rich.console.Console | None = None,
) -> dict[str, Any]:
  """Evaluates a model that is loaded, on clips that are open; prints its tables and writes its files, as `run` does.

  Args:
    evaluation: what is evaluated, on what, by whom, and how much.
    asked: how the files name it: workdir, checkpoint, data, split.
    folder: of the run, whose curves and configuration the page shows.
    out: see `run`.
    find_detector: returns what finds landmarks in a frame, as `faces.LandmarkDetector().detect` does, or raises
      DataError if there is nothing; None: landmark metrics are not measured.
    leakage: see `run`.
    fit: clips of other people, by which factors and emotions are learned.
    same_as: see `run`.
    console: where tables go.

  Returns:
    The content of `metrics.json`.

  Raises:
    UserError: in one line, if nothing can be driven.
  """
  console = console or rich.console.Console(highlight=False)
  metrics_file = (pathlib.Path(out) if out else folder / 'eval' / asked['split']) / 'metrics.json'
  report_file = (pathlib.Path(out) if out else folder) / 'report.html'
  chosen = _chosen(evaluation, same_as, f'{asked["data"]}: split {asked["split"]}')
  measured = _measure(evaluation, chosen, _detector(find_detector), fit=fit, leakage=leakage, console=console)
  result = _result(evaluation, measured, asked)
  _write(evaluation, measured, result, folder, metrics_file, report_file)
  _print(console, measured)
  console.print(f'wrote {metrics_file} (all numbers) and {report_file} (open it in a browser)', soft_wrap=True)
  return result


@dataclasses.dataclass(frozen=True)
class Measured:
  """What came out: the test list, scores of its sequences, the separation of the spaces, and what could not be."""

  listed: dict[str, Any]
  scored: list[Scored]
  summaries: list[ProtocolSummary]
  spaces: spaces.Spaces | None
  notes: list[str]


def _chosen(evaluation: Evaluation, same_as: str | None, where: str) -> list[Driving]:
  """The sequences to drive: those of the test list `same_as`, or as the settings choose them."""
  infos, banks = evaluation.clips.infos, evaluation.model.banks
  chosen = frozen.read(same_as, infos) if same_as else choose(infos, banks, evaluation.settings)
  drivings = [driving for driving in chosen if driving.protocol != 'cross' or {'mouth', 'pose'} <= set(banks)]
  if not drivings:
    raise UserError(f'{where} holds no clip of two frames or more, so nothing can be driven')
  return drivings


def _measure(
  evaluation: Evaluation,
  drivings: list[Driving],
  landmarks: tuple[Any, list[str]],
  *,
  leakage: bool,
  fit: records.Clips | None,
  console: rich.console.Console,
) -> Measured:
  model, clips, settings = evaluation.model, evaluation.clips, evaluation.settings
  detector, notes = landmarks
  notes += [f'Not measured: {measure}, {why}.' for measure, why in evaluation.judges.missing.items()]
  if not {'mouth', 'pose'} <= set(model.banks):
    notes.append(
      f'The model has one undivided motion space ({", ".join(model.banks)}): cross-driving needs one for '
      'the mouth and one for head pose.'
    )
  true, found = true_frames.find(clips), None
  with rich.progress.Progress(console=console, transient=True) as bar:
    task = bar.add_task('animating and scoring', total=len(drivings))
    scored = evaluate(
      model,
      clips,
      drivings,
      detector,
      judges=evaluation.judges,
      true=true,
      samples=settings.samples,
      embedded=settings.embedded,
      progress=lambda: bar.advance(task),
    )
    if leakage:
      task = bar.add_task('', total=None)
      found = spaces.measure(
        model,
        clips,
        spaces.limited(settings.clips, settings.seed),
        detector=detector,
        fit=fit,
        progress=lambda what: bar.update(task, description=what),
      )
      notes += found.notes
    else:
      notes.append('The separation of the motion spaces was not measured (--no-leakage).')
  summaries = summarise(scored)
  return Measured(frozen.to_json(drivings, clips.infos), scored, summaries, found, notes + _faceless(summaries))


def _result(evaluation: Evaluation, measured: Measured, asked: Mapping[str, str]) -> dict[str, Any]:
  """The content of metrics.json; `asked` is what the user named."""
  model, settings = evaluation.model, evaluation.settings
  return {
    **asked,
    'step': model.step,
    'averaged': model.averaged,
    'stage': model.config.run.stage,
    'image_size': model.image_size,
    'banks': list(model.banks),
    'fingerprint': evaluation.clips.fingerprint,
    'settings': dataclasses.asdict(settings),
    'versions': {
      'edtalk_jax': __version__,
      'jax': jax.__version__,
      'numpy': np.__version__,
      'scikit-image': skimage.__version__,
      'python': platform.python_version(),
    },
    'judges': evaluation.judges.used,
    'test_list': measured.listed['sha256'],
    'notes': measured.notes,
    **to_json(measured.summaries, measured.scored),
    **spaces.to_json(measured.spaces),
  }


def _write(
  evaluation: Evaluation,
  measured: Measured,
  result: dict[str, Any],
  folder: pathlib.Path,
  metrics_file: pathlib.Path,
  report_file: pathlib.Path,
) -> None:
  """Writes the test list, metrics.json and the page."""
  report.write(metrics_file.with_name(frozen.FILE), json.dumps(measured.listed) + '\n')
  report.write(metrics_file, json.dumps(result, indent=2) + '\n')
  facts = [
    ('stage', result['stage']),
    ('step', f'{result["step"]:,}'),
    ('split', result['split']),
    ('data set', result['fingerprint'][:12]),
    ('run', result['workdir']),
    ('checkpoint', result['checkpoint']),
    ('records', result['data']),
    ('model size', f'{result["image_size"]} pixels'),
    ('test list', result['test_list'][:12]),
    *result['judges'].items(),
    *result['settings'].items(),
    *result['versions'].items(),
  ]
  report.write(
    report_file,
    report.render(
      title=f'EDTalk evaluation: {pathlib.Path(result["workdir"]).resolve().name}',
      facts=facts,
      summaries=measured.summaries,
      scored=measured.scored,
      curves=pictures.read_curves(folder / 'metrics.jsonl'),
      record=record.read(folder),
      notes=measured.notes,
      spaces=measured.spaces,
    ),
  )


def _installed_detector() -> Any:
  return faces.LandmarkDetector().detect


def _detector(find: Callable[[], Any] | None) -> tuple[Any, list[str]]:
  """Returns the landmark detector, or None and the sentence that says why."""
  if find is None:
    return None, ['Landmark metrics were switched off (--no-landmarks).']
  try:
    return find(), []
  except DataError as error:
    return None, [f'No landmark metrics: {error}']


def _others(data: str, split: str, clips: records.Clips) -> records.Clips | None:
  """Returns the clips of the people trained on, where factors or emotions are known and others are evaluated."""
  known = clips[0].factors is not None or any(getattr(info, 'emotion', '') for info in clips.infos)
  if split == 'train' or not known or 'train' not in records.splits(data):
    return None
  return records.Clips(data, 'train')


def _print(console: rich.console.Console, measured: Measured) -> None:
  """Prints the means; intervals and definitions are in the report."""
  for table in (*summary_table.tables(measured.summaries), *spaces_table.tables(measured.spaces)):
    console.print(table)
  for note in measured.notes:
    console.print(rich.text.Text(note), soft_wrap=True)


def _faceless(summaries: list[ProtocolSummary]) -> list[str]:
  """Says in how many generated frames no face was found, where there were any."""
  return [
    f'{report.TITLES[s.protocol]}: no face was found in {row.missing} of {row.frames + row.missing} generated '
    'or driving frames, which therefore have no landmark metric.'
    for s in summaries
    for row in [s.methods[GENERATED].get(metrics.LANDMARKS.get(s.protocol))]
    if row is not None and row.missing
  ]
