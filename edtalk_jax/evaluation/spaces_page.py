"""The part of the report that shows how far the motion spaces are apart: heat maps and swept pictures."""

import math

from edtalk_jax.evaluation import face_measures, page, pictures, sweeps, true_frames
from edtalk_jax.evaluation.disentanglement import NOISE, Score, Scores
from edtalk_jax.evaluation.emotions import Emotions
from edtalk_jax.evaluation.leakage_matrix import COLUMNS, Matrix, Row
from edtalk_jax.evaluation.spaces import Spaces
from edtalk_jax.evaluation.statistics import Interval

ANCHOR, TITLE = 'spaces', 'Separation of the spaces'
PERFECT = math.sqrt(2)  # what a perfect transfer measures, see leakage_matrix


def section(spaces: Spaces) -> str:
  """Returns the section."""
  parts = [f'<h2 id="{ANCHOR}">{TITLE}</h2>']
  if spaces.matrix is not None:
    parts += [_LEAKAGE, leakage_table(spaces.matrix), _leakage_note(spaces.matrix), _measures(spaces.matrix)]
  if spaces.scores is not None:
    parts += [
      _SCORES.format(
        identities=spaces.scores.identities,
        frames=f'{spaces.scores.frames:,}',
        fitted=spaces.scores.fitted_identities,
        noise=NOISE,
      ),
      importance_table(spaces.scores),
      *_r2_tables(spaces.scores),
    ]
  if spaces.emotions is not None:
    parts += [_EMOTIONS.format(clips=f'{spaces.emotions.fitted_clips:,}'), emotions_table(spaces.emotions)]
  if spaces.sweeps:
    parts += ['<h3>One space swept, the others held</h3>', *(_space_film(sweep) for sweep in spaces.sweeps)]
    if any(sweep.factors for sweep in spaces.sweeps):
      parts += [
        '<h3>One factor of a rendered driver swept, all its motion taken over</h3>',
        *(_factor_film(sweep) for sweep in spaces.sweeps),
      ]
  return '\n'.join(parts)


_LEAKAGE = """<h3>Leakage</h3><p>Portraits are painted with another person's weights in one space and their own in all
others. Rows: the space that is driven. Columns: how far mouth, head pose and expression move in the picture, in units
of their natural standard deviation in the data; then the distance of identity (1: as far as another person) and the
change of the background. The driven space should move its own column by about 1.4, as two independent frames differ by
that much, and nothing else. Rows of the truth, where it is known, show portraits rendered with that group of factors
alone: what perfect separation measures with this detector, whose noise is never 0.</p>"""
_SCORES = """<h3>What the weights tell</h3><p>R2 of the true factors, read from each space's weights by ridge
regression: {frames} frames of {identities} people, each predicted without that person ({fitted} people to fit on, held
out in turn). The first table averages the factors of each group; R2 below {noise:g} counts as 0 there. Disentanglement
is high where a space tells of one group only, however little it tells; completeness where a group is told by one space
only; SAP is the lead of the best space over the second. All reach 1 at most; 0 is chance.</p>"""

_EMOTIONS = """<h3>Which emotion the weights tell</h3><p>A linear discriminant labels the mean weights of a clip; it was
fitted on {clips} clips of people trained on. Accuracy in which every label counts alike: of the weights as they are,
and of what they are more than in the person's neutral clips. The space of expression should tell it best.</p>"""


def leakage_table(matrix: Matrix) -> str:
  """Returns the leakage matrix as a heat map."""
  rows = [('ours', _leakage_cells(space, row)) for space, row in matrix.rows.items()]
  rows += [('', _leakage_cells(f'truth: {space}', row)) for space, row in matrix.true_rows.items()]
  head = [
    'driven space',
    *(f'{name} [σ]' for name in COLUMNS),
    'identity',
    'background [grey levels]',
    'diagonal dominance',
  ]
  return page.table(head, rows)


def _leakage_cells(name: str, row: Row) -> list[str]:
  missing = f'{row.missing} of {row.frames + row.missing} frames without a face' if row.missing else ''
  return [
    f'{page.text(name)}<small>{missing}</small>',
    *(_cell(row.columns[column], PERFECT) for column in COLUMNS),
    _cell(row.identity),
    _cell(row.background),
    _cell(row.dominance),
  ]


def _leakage_note(matrix: Matrix) -> str:
  parts = [f'{matrix.portraits} portraits of {matrix.identities} people; intervals resample people.']
  if not math.isnan(matrix.dominance.value):
    parts.append(
      f'Diagonal dominance (own column over the row of three) is {page.number(matrix.dominance.value)} on '
      f'average ({_range(matrix.dominance)}); it is 0.333 if all three move alike'
    )
    parts[-1] += f', and {page.number(matrix.true_dominance.value)} for the truth.' if matrix.true_rows else '.'
  return f'<p class="note">{page.text(" ".join(parts))}</p>'


def _measures(matrix: Matrix) -> str:
  """The single measures behind the columns, folded away."""
  units = [
    f'{name} [{page.number(spread)} {face_measures.UNITS.get(name, "mm")}]'
    for name, spread in zip(face_measures.NAMES, matrix.natural.spread, strict=True)
  ]
  rows = [
    (kind, [page.text(label), *(_cell(row.measures[name], PERFECT, False) for name in face_measures.NAMES)])
    for kind, label, row in [
      *(('ours', space, row) for space, row in matrix.rows.items()),
      *(('', f'truth: {space}', row) for space, row in matrix.true_rows.items()),
    ]
  ]
  return (
    '<details><summary>each measure alone</summary><div class="wide">'
    + page.table(['driven space', *face_measures.NAMES], rows)
    + f'</div><p class="note">σ of each: {page.text(", ".join(units))}.</p></details>'
  )


def importance_table(scores: Scores) -> str:
  """Returns R2 by space and group, with the scores that follow from it."""
  groups = list(true_frames.GROUPS)
  rows = [
    ('ours', [page.text(space), *(_cell(row[group], 1.0) for group in groups), _cell(scores.disentanglement[space])])
    for space, row in scores.importance.items()
  ]
  for label, values, corner in (
    ('completeness', scores.completeness, scores.completeness['mean']),
    ('SAP', scores.sap, scores.sap['mean']),
  ):
    rows.append(('', [label, *(_cell(values[group]) for group in groups), f'mean {_cell(corner)}']))
  rows.append(('', ['mean disentanglement', *('' for _ in groups), _cell(scores.disentanglement['mean'])]))
  return page.table(['R2 by space', *groups, 'disentanglement'], rows)


def emotions_table(told: Emotions) -> str:
  """Returns the accuracy of labels by space, with chance."""
  rows = [
    (
      'ours',
      [
        page.text(space),
        *(page.heat(page.number(row[view].mean), _range(row[view]), row[view].mean) for view in told.labels),
      ],
    )
    for space, row in told.accuracy.items()
  ]
  rows.append(('', ['chance', *(page.number(1 / len(labels)) for labels in told.labels.values())]))
  head = ['space', *(f'{view}, {len(labels)} labels' for view, labels in told.labels.items())]
  return page.table(head, rows)


def _r2_tables(scores: Scores) -> list[str]:
  tables = []
  for group, members in true_frames.GROUPS.items():
    rows = [('', [page.text(space), *(_cell(row[name], 1.0) for name in members)]) for space, row in scores.r2.items()]
    tables.append(f'<div class="wide">{page.table([f"R2 of {group}", *members], rows)}</div>')
  return tables


def _cell(score: Score, full: float = math.nan, interval: bool = True) -> str:
  """A figure and its interval; on a ground that is darkest at `full`, unless that is NaN."""
  return page.heat(page.number(score.value), _range(score) if interval else '', score.value / full)


def _range(score: Score | Interval) -> str:
  return '' if math.isnan(score.low) else f'{page.number(score.low)} to {page.number(score.high)}'


def _space_film(sweep: sweeps.Sweep) -> str:
  strips = [(space, '', pictures.strip(frames)) for space, frames in sweep.spaces.items()]
  words = ['portrait' if step == 0 else f'{step:+.1f} σ'.replace('-', '−') for step in sweeps.STEPS]
  return page.sheet(
    f"<b>{page.text(sweep.identity)}</b> along the direction in which each space's weights vary most",
    strips,
    words,
    portrait=pictures.strip([sweep.portrait]),
  )


def _factor_film(sweep: sweeps.Sweep) -> str:
  strips = []
  for name, (driver, generated) in sweep.factors.items():
    strips += [(name, f'driver: {sweep.driver}', pictures.strip(driver)), ('', 'generated', pictures.strip(generated))]
  return page.sheet(
    f'<b>{page.text(sweep.identity)}</b>',
    strips,
    ['low', *('·' for _ in range(5)), 'high'],
    portrait=pictures.strip([sweep.portrait]),
  )
