"""The separation of the motion spaces as tables for the terminal; intervals are in the report."""

import rich.table

from edtalk_jax.evaluation import page
from edtalk_jax.evaluation.disentanglement import Scores
from edtalk_jax.evaluation.emotions import Emotions
from edtalk_jax.evaluation.leakage_matrix import COLUMNS, Matrix
from edtalk_jax.evaluation.spaces import Spaces
from edtalk_jax.evaluation.true_frames import GROUPS


def tables(spaces: Spaces | None) -> list[rich.table.Table]:
  """Returns the tables of what was measured."""
  if spaces is None:
    return []
  parts = ((_leakage, spaces.matrix), (_scores, spaces.scores), (_emotions, spaces.emotions))
  return [draw(found) for draw, found in parts if found is not None]


def _leakage(matrix: Matrix) -> rich.table.Table:
  table = _table(
    'Leakage: what moves (in sigma) when one space is driven',
    '',
    *COLUMNS,
    'iden-\ntity',
    'back-\nground',
    'diagonal\ndominance',
  )
  for prefix, rows, style in (('', matrix.rows, 'bold'), ('true ', matrix.true_rows, '')):
    for space, row in rows.items():
      values = [*(row.columns[column] for column in COLUMNS), row.identity, row.background, row.dominance]
      table.add_row(prefix + space, *(page.number(score.value) for score in values), style=style)
    table.add_section()
  return table


def _scores(scores: Scores) -> rich.table.Table:
  table = _table(
    f'R2 of true factors for {scores.identities} people left out', 'R2 by space', *GROUPS, 'disentanglement'
  )
  for space, row in scores.importance.items():
    values = [*(row[group] for group in GROUPS), scores.disentanglement[space]]
    table.add_row(space, *(page.number(score.value) for score in values), style='bold')
  table.add_section()
  for label, row in (('completeness', scores.completeness), ('SAP', scores.sap)):
    table.add_row(label, *(page.number(row[group].value) for group in GROUPS), f'mean {page.number(row["mean"].value)}')
  table.add_row('mean', *('' for _ in GROUPS), page.number(scores.disentanglement['mean'].value))
  return table


def _emotions(told: Emotions) -> rich.table.Table:
  table = _table('Emotions told from the weights of people left out, every label counting alike', 'space', *told.labels)
  for space, row in told.accuracy.items():
    table.add_row(space, *(page.number(row[view].mean) for view in told.labels), style='bold')
  table.add_section()
  table.add_row('chance', *(page.number(1 / len(labels)) for labels in told.labels.values()))
  return table


def _table(title: str, *columns: str) -> rich.table.Table:
  table = rich.table.Table(title=title, title_justify='left', title_style='bold')
  for k, column in enumerate(columns):
    table.add_column(column, justify='right' if k else 'left', no_wrap=True)
  return table
