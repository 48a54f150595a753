"""What the evaluations of later stages share: the files they write and the frame of their page."""

import dataclasses
import io
import json
import pathlib
import platform
from collections.abc import Callable, Sequence
from typing import Any

import jax
import matplotlib
import numpy as np
import rich.console
import rich.text
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from data_pipeline import records
from edtalk_jax import __version__
from edtalk_jax.evaluation import page, pictures, report
from edtalk_jax.evaluation.statistics import Interval
from edtalk_jax.training import record


@dataclasses.dataclass(frozen=True)
class Request:
  """What `edtalk eval` was asked for; see `evaluation.run.run`."""

  workdir: str
  data: str
  split: str
  which: str
  out: str | None
  clips: int  # 0: all
  seed: int
  raw: bool = False  # the parameters themselves, where the run keeps an average


@dataclasses.dataclass(frozen=True)
class Row:
  """A line of the table: what was measured, how, and how much it is."""

  label: str
  note: str
  value: Interval


def chosen(infos: Sequence, count: int, seed: int, usable: Callable[[Any], bool]) -> list[int]:
  """Numbers of `count` usable clips (0: all), people in turn, in a random order of each."""
  rng = np.random.default_rng(seed)
  people: dict[str, list[int]] = {}
  for number in rng.permutation(len(infos)):
    if usable(infos[number]):
      people.setdefault(infos[number].identity, []).append(int(number))
  turns = [(turn, identity, number) for identity, own in people.items() for turn, number in enumerate(own)]
  ordered = [number for _, _, number in sorted(turns)]
  return sorted(ordered[:count] if count else ordered)


def finish(
  request: Request,
  clips: records.Clips,
  *,
  stage: str,
  step: int,
  numbers: dict[str, Any],
  rows: Sequence[Row],
  introduction: str,
  sections: Sequence[str] = (),
  notes: Sequence[str] = (),
  unit: str = 'people',
) -> dict[str, Any]:
  """Writes metrics.json and report.html, prints the table, and returns the content of metrics.json.

  Args:
    request: of this evaluation.
    clips: that were evaluated.
    stage: of the run.
    step: of its checkpoint.
    numbers: by name; rows are added to them.
    rows: of the table, the headline figures.
    introduction: what was done, in a few sentences.
    sections: HTML that follows the table.
    notes: sentences about what could not be measured.
    unit: what counts once and is resampled, in the plural.
  """
  folder = pathlib.Path(request.workdir)
  metrics_file = (pathlib.Path(request.out) if request.out else folder / 'eval' / request.split) / 'metrics.json'
  report_file = (pathlib.Path(request.out) if request.out else folder) / 'report.html'
  about = {
    'workdir': request.workdir,
    'checkpoint': request.which,
    'step': step,
    'stage': stage,
    'data': request.data,
    'split': request.split,
    'fingerprint': clips.fingerprint,
    'settings': {'clips': request.clips, 'seed': request.seed},
    'versions': {
      'edtalk_jax': __version__,
      'jax': jax.__version__,
      'numpy': np.__version__,
      'python': platform.python_version(),
    },
  }
  table = {row.label: dataclasses.asdict(row.value) for row in rows}
  result = {**about, 'notes': list(notes), 'table': table, **numbers}
  report.write(metrics_file, json.dumps(result, indent=2) + '\n')
  report.write(report_file, _page(folder, about, rows, introduction, sections, notes, unit))
  console = rich.console.Console(highlight=False)
  for row in rows:
    console.print(rich.text.Text(f'{row.label}: {_figure(row.value, unit)}'), soft_wrap=True)
  for note in notes:
    console.print(rich.text.Text(note), soft_wrap=True)
  console.print(f'wrote {metrics_file} (all numbers) and {report_file} (open it in a browser)', soft_wrap=True)
  return result


def svg(figure: Figure) -> str:
  """Returns a figure as an SVG element, the same bytes for the same figure."""
  stream = io.StringIO()
  with matplotlib.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'edtalk'}):
    FigureCanvasSVG(figure).print_svg(stream, metadata=dict.fromkeys(('Creator', 'Date', 'Format', 'Type')))
  text = stream.getvalue()
  return text[text.index('<svg') :]


def _page(folder: pathlib.Path, about: dict[str, Any], rows, introduction: str, sections, notes, unit: str) -> str:
  title = f'EDTalk {about["stage"]}: {folder.resolve().name}'
  facts = [(name, value) for name, value in about.items() if not isinstance(value, dict)]
  facts += [*about['settings'].items(), *about['versions'].items()]
  body = [
    [
      f'{page.text(row.label)}<small>{page.text(row.note)}</small>',
      page.number(row.value.mean),
      _range(row.value),
      page.text(row.value.identities),
    ]
    for row in rows
  ]
  curves = pictures.read_curves(folder / 'metrics.jsonl')
  return page.document(
    title,
    [
      f'<h1>{page.text(title)}</h1>',
      f'<div class="soft">step <b>{about["step"]:,}</b> · split <b>{page.text(about["split"])}</b></div>',
      page.cards([(page.number(row.value.mean), row.label) for row in rows]),
      *(f'<p class="note">{page.text(note)}</p>' for note in notes),
      f'<h2>Measured</h2><p>{page.text(introduction)}</p>',
      page.table(['', 'value', '95 % interval', unit], [('', cells) for cells in body]),
      f'<p class="note">Each of the {page.text(unit)} counts once; the interval resamples them.</p>',
      *sections,
      *([f'<h2>Losses</h2>{pictures.loss_figure(curves)}'] if curves else []),
      '<h2>This evaluation</h2>'
      + page.definitions(facts)
      + '<details><summary>configuration of the run</summary><pre>'
      + page.text(json.dumps(record.read(folder), indent=2, ensure_ascii=False))
      + '</pre></details>',
    ],
  )


def _figure(value: Interval, unit: str) -> str:
  return f'{page.number(value.mean)} ({_range(value)}), {value.identities} {unit}'


def _range(value: Interval) -> str:
  return f'{page.number(value.low)} to {page.number(value.high)}'
