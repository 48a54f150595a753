"""The combined report of a chain: a row of key figures for each stage, as a page and as JSON."""

import dataclasses
import json
import math
import pathlib
from typing import Any

import jax

from edtalk_jax.chain import figures
from edtalk_jax.chain.figures import Figure
from edtalk_jax.chain.plan import Chain
from edtalk_jax.config import Config
from edtalk_jax.evaluation import page
from edtalk_jax.evaluation import report as files
from edtalk_jax.training.hooks import EarlyStopping
from edtalk_jax.training.shelf import Shelf

PAGE, FILE = 'report.html', 'chain.json'


@dataclasses.dataclass(frozen=True)
class Row:
  """How far a stage is.

  Attributes:
    stage: its name, and that of its folder.
    step: of its newest checkpoint; None without any.
    steps: that it shall have at most.
    ended: whether it made them all, or ended before because its validation loss no longer fell.
    minutes: that the device has worked on it; NaN if unknown.
    figures: of its evaluation at that step; none if it was not measured.
  """

  stage: str
  step: int | None
  steps: int
  ended: bool
  minutes: float
  figures: tuple[Figure, ...]

  @property
  def state(self) -> str:
    """In words."""
    if self.step is None:
      return 'not begun'
    return 'done' if self.ended else 'under way'


def metrics_file(config: Config, workdir: pathlib.Path, split: str) -> pathlib.Path:
  """Where `edtalk eval` writes the numbers of a run. One person's are always of the person trained on."""
  if config.run.stage == 'personalize':
    split = config.personalize.split
  return workdir / 'eval' / split / 'metrics.json'


def rows(chain: Chain, folder: pathlib.Path, split: str | None) -> list[Row]:
  """Returns a row for each run of the chain, whether it has begun or not."""
  found = []
  for config in chain.runs:
    workdir = folder / config.run.stage
    steps = Shelf(workdir).steps()
    step = steps[-1] if steps else None
    ended = step is not None and (
      step >= config.run.steps or bool(EarlyStopping(config.checkpoint, workdir).reason(step))
    )
    found.append(
      Row(config.run.stage, step, config.run.steps, ended, _minutes(workdir), _figures(config, workdir, split, step))
    )
  return found


def write(chain: Chain, folder: pathlib.Path, data: str, split: str | None) -> None:
  """Writes both files into the chain's folder, from process 0; all processes must call this."""
  found = rows(chain, folder, split)
  if jax.process_index() != 0:
    return
  content = {'data': data, 'split': split, 'stages': [_plain(row) for row in found]}
  files.write(folder / FILE, json.dumps(content, indent=2) + '\n')
  files.write(folder / PAGE, render(folder.resolve().name, found, data, split))


def render(title: str, found: list[Row], data: str, split: str | None) -> str:
  """Returns the page."""
  body = []
  for row in found:
    link = f'<a href="{row.stage}/report.html">{page.text(row.stage)}</a>' if row.figures else page.text(row.stage)
    done = f'{page.text(row.state)}<small>{row.step or 0:,} of {row.steps:,} steps</small>'
    body.append(('', [link, done, page.number(row.minutes), ''.join(map(_cell, row.figures)) or '–']))
  minutes = sum(row.minutes for row in found if not math.isnan(row.minutes))
  return page.document(
    f'EDTalk: {title}',
    [
      f'<h1>EDTalk: {page.text(title)}</h1>',
      f'<div class="soft">records <b>{page.text(data)}</b> · measured on split <b>{page.text(split or "none")}</b> · '
      f'<b>{page.number(minutes)}</b> device minutes of training in all</div>',
      page.table(['stage', 'training', 'device minutes', 'key figures'], body),
      '<p class="note">Beside each figure its 95 % interval, from resampling people. The name of a stage leads to its '
      'own report, which defines every number. Figures are shown for the newest checkpoint only.</p>',
    ],
  )


def _cell(figure: Figure) -> str:
  interval = '' if math.isnan(figure.low) else f' ({page.number(figure.low)} to {page.number(figure.high)})'
  return f'<div><b>{page.number(figure.value)}</b>{interval}<small>{page.text(figure.label)}</small></div>'


def _figures(config: Config, workdir: pathlib.Path, split: str | None, step: int | None) -> tuple[Figure, ...]:
  if split is None or step is None or not (path := metrics_file(config, workdir, split)).is_file():
    return ()
  metrics = json.loads(path.read_text(encoding='utf-8'))
  return tuple(figures.of(metrics)) if metrics['step'] == step else ()


def _minutes(workdir: pathlib.Path) -> float:
  """Minutes of the device's work, from the last line of metrics.jsonl that says it."""
  try:
    lines = (workdir / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  except OSError:
    return math.nan
  for line in reversed(lines):
    try:
      return json.loads(line)['time/productive'] / 60
    except (ValueError, KeyError):
      continue  # a line of validation, or one cut short by a kill
  return math.nan


def _plain(row: Row) -> dict[str, Any]:
  """JSON has no NaN."""
  none = lambda value: None if isinstance(value, float) and math.isnan(value) else value
  plain = {**dataclasses.asdict(row), 'state': row.state, 'minutes': none(row.minutes)}
  return {**plain, 'figures': [{k: none(v) for k, v in dataclasses.asdict(f).items()} for f in row.figures]}
