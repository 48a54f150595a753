"""One evaluation from a run's folder to `metrics.json` and `report.html`: what eval.py and `edtalk eval` call."""

import json
import pathlib
import platform
from collections.abc import Sequence
from typing import Any, Literal

import jax
import numpy as np
import rich.console
import rich.progress
import rich.table
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
  page,
  personalize,
  pictures,
  report,
  semantic_expression,
  spaces,
  spaces_table,
  stage_report,
  sync_expert,
  true_frames,
)
from edtalk_jax.evaluation.evaluate import Settings, choose, evaluate
from edtalk_jax.evaluation.judges import shelf
from edtalk_jax.evaluation.scoring import GENERATED
from edtalk_jax.evaluation.summary import ProtocolSummary, summarise, to_json
from edtalk_jax.model import load
from edtalk_jax.training import hand_off, record, records_copy

# Judged in their own way.
STAGES = {
  'sync_expert': sync_expert,
  'audio_to_mouth': audio_to_mouth,
  'audio_to_pose': audio_to_pose,
  'semantic_expression': semantic_expression,
  'personalize': personalize,
}


def run(workdir: str, data: str, *, split: str = 'test', which: Literal['latest', 'best'] = 'latest', raw: bool = False,
        out: str | None = None, settings: Settings | None = None, landmarks: bool = True, leakage: bool = True,
        judges: str | None = None, same_as: str | None = None) -> dict[str, Any]:
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
  if (own := STAGES.get(record.read(folder).get('stage'))) is not None:
    return own.run(stage_report.Request(str(folder), here, split, which, out, settings.clips, settings.seed, raw))
  metrics_file = (pathlib.Path(out) if out else folder / 'eval' / split) / 'metrics.json'
  report_file = (pathlib.Path(out) if out else folder) / 'report.html'
  networks, model = shelf.open_folder(judges), load(str(folder), which, raw=raw)
  clips = records.Clips(here, split)
  chosen = frozen.read(same_as, clips.infos) if same_as else choose(clips.infos, model.banks, settings)
  drivings = [driving for driving in chosen if driving.protocol != 'cross' or {'mouth', 'pose'} <= set(model.banks)]
  if not drivings:
    raise UserError(f'{data}: split {split} holds no clip of two frames or more, so nothing can be driven')
  listed = frozen.to_json(drivings, clips.infos)
  detector, notes = _detector(landmarks)
  notes += networks.missing
  if not {'mouth', 'pose'} <= set(model.banks):
    notes.append(f'The model has one undivided motion space ({", ".join(model.banks)}): cross-driving needs one for '
                 'the mouth and one for head pose.')
  true, found = true_frames.find(clips), None
  with rich.progress.Progress(console=console, transient=True) as bar:
    task = bar.add_task('animating and scoring', total=len(drivings))
    scored = evaluate(model, clips, drivings, detector, judges=networks, true=true, samples=settings.samples,
                      progress=lambda: bar.advance(task))
    if leakage:
      task = bar.add_task('', total=None)
      found = spaces.measure(model, clips, spaces.limited(settings.clips, settings.seed), detector=detector,
                             fit=_others(here, split, clips),
                             progress=lambda what: bar.update(task, description=what))
      notes += found.notes
    else:
      notes.append('The separation of the motion spaces was not measured (--no-leakage).')
  summaries = summarise(scored)
  notes += _faceless(summaries)

  about = _about(workdir, which, model, data, clips, split, settings)
  about |= {'judges': networks.used, 'test_list': listed['sha256']}
  report.write(metrics_file.with_name(frozen.FILE), json.dumps(listed) + '\n')
  result = {**about, 'notes': notes, **to_json(summaries, scored), **spaces.to_json(found)}
  report.write(metrics_file, json.dumps(result, indent=2) + '\n')
  facts = [('stage', about['stage']), ('step', f'{model.step:,}'), ('split', split),
           ('data set', clips.fingerprint[:12]), ('run', workdir), ('checkpoint', which), ('records', data),
           ('model size', f'{model.image_size} pixels'), ('test list', listed['sha256'][:12]), *networks.used.items(),
           *about['settings'].items(), *about['versions'].items()]
  report.write(report_file, report.render(
    title=f'EDTalk evaluation: {pathlib.Path(workdir).resolve().name}', facts=facts, summaries=summaries, scored=scored,
    curves=pictures.read_curves(folder / 'metrics.jsonl'), record=record.read(folder), notes=notes,
    spaces=found))
  _print(console, summaries, found, notes)
  console.print(f'wrote {metrics_file} (all numbers) and {report_file} (open it in a browser)', soft_wrap=True)
  return result


def _detector(wanted: bool) -> tuple[Any, list[str]]:
  """Returns the landmark detector, or None and the sentence that says why."""
  if not wanted:
    return None, ['Landmark metrics were switched off (--no-landmarks).']
  try:
    return faces.LandmarkDetector().detect, []
  except DataError as error:
    return None, [f'No landmark metrics: {error}']


def _others(data: str, split: str, clips: records.Clips) -> records.Clips | None:
  """Returns the clips of the people trained on, where factors are known and they are not those evaluated."""
  if split == 'train' or clips[0].factors is None or 'train' not in records.splits(data):
    return None
  return records.Clips(data, 'train')


def _about(workdir, which, model, data, clips, split, settings: Settings) -> dict[str, Any]:
  return {
    'workdir': str(workdir), 'checkpoint': which, 'step': model.step, 'averaged': model.averaged,
    'stage': model.config.run.stage,
    'image_size': model.image_size, 'banks': list(model.banks), 'data': str(data), 'split': split,
    'fingerprint': clips.fingerprint,
    'settings': {name: getattr(settings, name) for name in ('clips', 'frames', 'seed', 'videos', 'video_frames')},
    'versions': {'edtalk_jax': __version__, 'jax': jax.__version__, 'numpy': np.__version__,
                 'scikit-image': skimage.__version__, 'python': platform.python_version()},
  }


def _print(console: rich.console.Console, summaries: list[ProtocolSummary], found: spaces.Spaces | None,
           notes: list[str]) -> None:
  """Prints the means; intervals and definitions are in the report."""
  for table in (*_tables(summaries), *spaces_table.tables(found)):
    console.print(table)
  for note in notes:
    console.print(rich.text.Text(note), soft_wrap=True)


def _tables(summaries: list[ProtocolSummary]) -> list[rich.table.Table]:
  """Returns the tables of the protocols, at most five metrics in each so that they fit a narrow terminal."""
  tables = []
  for summary in summaries:
    count = -(-len(summary.metrics) // 5)
    for part in range(count):
      chosen = summary.metrics[part * len(summary.metrics) // count:(part + 1) * len(summary.metrics) // count]
      tables.append(_table(summary, chosen, first=not part, last=part == count - 1))
  return tables


def _table(summary: ProtocolSummary, chosen: Sequence[metrics.Metric], first: bool,
           last: bool) -> rich.table.Table:  # fmt: skip
  title = (f'{report.TITLES[summary.protocol]}: mean over {summary.identities} identities, '
           f'{summary.sequences} sequences') if first else None
  skipped = f'not measured: {", ".join(metric.label for metric in summary.skipped)}' if summary.skipped else None
  table = rich.table.Table(title=title, title_justify='left', title_style='bold', caption=skipped if last else None,
                           caption_justify='left')  # fmt: skip
  table.add_column('', no_wrap=True)
  for metric in chosen:
    table.add_column(rich.text.Text(f'{metric.label} {metric.arrow}\n{metric.unit}'), justify='right')
  for method, row in summary.methods.items():
    table.add_row(method, *(page.number(row[m.key].mean) for m in chosen), style='bold' if method == GENERATED else '')
  table.add_section()
  table.add_row('generated minus source', *(page.number(summary.gain[m.key].mean, True) for m in chosen))
  return table


def _faceless(summaries: list[ProtocolSummary]) -> list[str]:
  """Says in how many generated frames no face was found, where there were any."""
  return [f'{report.TITLES[s.protocol]}: no face was found in {row.missing} of {row.frames + row.missing} generated '
          'or driving frames, which therefore have no landmark metric.'
          for s in summaries for row in [s.methods[GENERATED].get(metrics.LANDMARKS.get(s.protocol))]
          if row is not None and row.missing]
