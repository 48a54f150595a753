"""The protocols' means as tables for the terminal; intervals and definitions are in the report."""

from collections.abc import Sequence

import rich.table
import rich.text

from edtalk_jax.evaluation import metrics, page, report
from edtalk_jax.evaluation.scoring import GENERATED
from edtalk_jax.evaluation.summary import ProtocolSummary


def tables(summaries: list[ProtocolSummary]) -> list[rich.table.Table]:
  """Returns the tables of the protocols, at most five metrics in each so that they fit a narrow terminal."""
  tables = []
  for summary in summaries:
    count = -(-len(summary.metrics) // 5)
    for part in range(count):
      chosen = summary.metrics[part * len(summary.metrics) // count : (part + 1) * len(summary.metrics) // count]
      tables.append(_table(summary, chosen, first=not part, last=part == count - 1))
  return tables


def _table(summary: ProtocolSummary, chosen: Sequence[metrics.Metric], first: bool, last: bool) -> rich.table.Table:
  title = (
    (f'{report.TITLES[summary.protocol]}: mean over {summary.identities} identities, {summary.sequences} sequences')
    if first
    else None
  )
  skipped = f'not measured: {", ".join(metric.label for metric in summary.skipped)}' if summary.skipped else None
  table = rich.table.Table(
    title=title, title_justify='left', title_style='bold', caption=skipped if last else None, caption_justify='left'
  )
  table.add_column('', no_wrap=True)
  for metric in chosen:
    table.add_column(rich.text.Text(f'{metric.label} {metric.arrow}\n{metric.unit}'), justify='right')
  for method, row in summary.methods.items():
    table.add_row(method, *(page.number(row[m.key].mean) for m in chosen), style='bold' if method == GENERATED else '')
  table.add_section()
  table.add_row('generated minus source', *(page.number(summary.gain[m.key].mean, True) for m in chosen))
  return table
