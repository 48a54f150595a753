"""The paper's table with ours beside it, as JSON, Markdown and a page."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from edtalk_jax.evaluation import metrics, page
from edtalk_jax.evaluation import report as files
from edtalk_jax.evaluation.scoring import GENERATED, HEARD, UNCHANGED
from edtalk_jax.reproduction.published import AUDIO, TABLE, VIDEO, Published

ROWS = {VIDEO: GENERATED, AUDIO: HEARD}  # the paper's methods by the names of ours
# Columns in the paper's order, and the protocol that each is of.
COLUMNS = {
  'psnr': 'same_clip',
  'ssim': 'same_clip',
  'm_lmd_centred': 'same_clip',
  'f_lmd_centred': 'same_clip',
  'fid': 'same_clip',
  'csim': 'same_clip',
  'cpbd': 'same_clip',
  'sync_c': 'video',
  'acc_emo': 'video',
}
JUDGED = ('FID', 'CSIM', 'Sync-C, Sync-D', 'Acc_emo')  # of these, by networks of others: names in `judges.shelf`
LABELS = {metric.key: metric for columns in metrics.BY_PROTOCOL.values() for metric in columns}
JSON, MARKDOWN, PAGE = 'table.json', 'table.md', 'report.html'
CAVEAT = (
  'Published values are quoted from secondary sources, not read in the paper, and their protocol (crop, landmark '
  'detector, emotion classifier, choice of frames) is not known. Ours are measured as docs/metrics.md says. So a '
  'difference between the two columns is one of protocols as much as of models; compare with "source unchanged".'
)


@dataclasses.dataclass(frozen=True)
class Cell:
  """One number of the table.

  Attributes:
    data: name of the data set.
    method: of the paper, or UNCHANGED.
    metric: key.
    published: None where nothing is known.
    value: ours; NaN where it was not measured, with low and high, the ends of its 95 % interval.
    identities: people that it is a mean of.
  """

  data: str
  method: str
  metric: str
  published: Published | None
  value: float
  low: float
  high: float
  identities: int


def cells(measured: Mapping[str, Mapping[str, Any]]) -> list[Cell]:
  """Picks the table's numbers from the content of metrics.json of each data set."""
  found = []
  for data, content in measured.items():
    for method, row in {**ROWS, UNCHANGED: UNCHANGED}.items():
      for key, protocol in COLUMNS.items():
        value = content['protocols'].get(protocol, {}).get('methods', {}).get(row, {}).get(key) or {}
        number = lambda name, value=value: math.nan if value.get(name) is None else float(value[name])
        found.append(
          Cell(
            data,
            method,
            key,
            TABLE.get((data, method), {}).get(key),
            number('mean'),
            number('low'),
            number('high'),
            value.get('identities', 0),
          )
        )
  return found


def write(folder: pathlib.Path, found: Sequence[Cell], about: Mapping[str, Any]) -> None:
  """Writes the three files; `about` is what was trained and measured, in words."""
  plain = [
    {**dataclasses.asdict(cell), **{name: _plain(getattr(cell, name)) for name in ('value', 'low', 'high')}}
    for cell in found
  ]
  files.write(folder / JSON, json.dumps({'about': dict(about), 'caveat': CAVEAT, 'cells': plain}, indent=2) + '\n')
  files.write(folder / MARKDOWN, markdown(found, about))
  files.write(folder / PAGE, render(found, about))


def markdown(found: Sequence[Cell], about: Mapping[str, Any]) -> str:
  """The table as Markdown."""
  lines = ['# EDTalk, the paper and ours', '', CAVEAT, '']
  for data, shown, rows in _by_data(found):
    lines += [f'## {data}', '', f'| {" | ".join(["", *map(_heading, shown)])} |', f'|{" --- |" * (len(shown) + 1)}']
    for label, values in rows:
      lines.append(f'| {" | ".join([label, *(value or "" for value in values)])} |')
    lines.append('')
  return '\n'.join(lines + [f'- {name}: {value}' for name, value in about.items()]) + '\n'


def render(found: Sequence[Cell], about: Mapping[str, Any]) -> str:
  """The table as a page."""
  body = ['<h1>EDTalk, the paper and ours</h1>', f'<p>{page.text(CAVEAT)}</p>']
  for data, shown, rows in _by_data(found):
    cells = [('ours' if OURS in label else '', [_html(label), *map(_html, values)]) for label, values in rows]
    body += [f'<h2>{page.text(data)}</h2>', f'<div class="wide">{page.table(["", *map(_heading, shown)], cells)}</div>']
  facts = ''.join(f'<dt>{page.text(name)}</dt><dd>{page.text(value)}</dd>' for name, value in about.items())
  return page.document('EDTalk, the paper and ours', [*body, f'<h2>What was done</h2><dl>{facts}</dl>'])


OURS = ', ours'


def _by_data(found: Sequence[Cell]) -> list[tuple[str, list[str], list[tuple[str, list[str]]]]]:
  """(data set, columns with a number, (label, texts) of each row)."""
  sections = []
  for data in dict.fromkeys(cell.data for cell in found):
    own = {(cell.method, cell.metric): cell for cell in found if cell.data == data}
    shown = [
      key
      for key in COLUMNS
      if any(cell.published or not math.isnan(cell.value) for (_, metric), cell in own.items() if metric == key)
    ]
    rows = []
    for method in dict.fromkeys(method for method, _ in own):
      row = [own[method, key] for key in shown]
      if any(cell.published for cell in row):
        rows.append((f'{method}, published', [_quoted(cell.published) for cell in row]))
      # The sound's row lacks those without sound, so that the rows' means may be of different people.
      people = f' ({max(cell.identities for cell in row)} people)'
      rows.append(((method if method == UNCHANGED else method + OURS) + people, [_measured(cell) for cell in row]))
    sections.append((data, shown, rows))
  return sections


def _html(cell: str) -> str:
  """What stands in brackets becomes a note below the number."""
  value, _, note = cell.removesuffix(')').partition(' (')
  return page.text(value) + (f'<small>{page.text(note)}</small>' if note else '')


def _heading(key: str) -> str:
  metric = LABELS[key]
  return f'{metric.label} {metric.arrow}'


def _quoted(published: Published | None) -> str:
  return '' if published is None else f'{published.value:g}' + ('' if published.sure else ' (one source)')


def _measured(cell: Cell) -> str:
  if math.isnan(cell.value):
    return 'not measured'
  interval = '' if math.isnan(cell.low) else f' ({page.number(cell.low)} to {page.number(cell.high)})'
  return page.number(cell.value) + interval


def _plain(value: float) -> float | None:
  return None if math.isnan(value) else value
