"""The command that looks at data; see `cli`."""

import os
from typing import Annotated

import tyro

from edtalk_jax.arguments import OptionalFile
from edtalk_jax.config import UserError

Records = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='RECORDS')]


def data_report(
  records: Records,
  out: OptionalFile = None,
  show: int = 96,
  measure: int = 200,
) -> None:
  """Writes a page that shows what a data set holds: counts, histograms, a contact sheet, and what was rejected.

  Example: edtalk data-report records --out report.html

  The page needs nothing beside itself. docs/quality.md explains every measure.

  Args:
    records: Folder of records, as `edtalk prepare` or `edtalk make-synthetic` wrote it.
    out: The page, instead of RECORDS/report.html.
    show: Clips on the contact sheet, people in turn.
    measure: Clips to measure now, where the manifest has no figures (rendered clips).
  """
  import rich.console
  import rich.progress

  from edtalk_jax.evaluation import data_report as page

  for name, value in (('show', show), ('measure', measure)):
    if value < 0:
      raise UserError(f'--{name} must be at least 0, got {value}')
  target = out or os.path.join(records, 'report.html')
  with rich.progress.Progress(console=rich.console.Console(stderr=True), transient=True) as bar:
    task = bar.add_task('reading', total=None)
    found = page.write(records, target, show=show, measure=measure,
                       done=lambda count, total: bar.update(task, completed=count, total=total))
  print(f'wrote {target}: {len(found.kept)} clips, {len(found.rejected)} rejections')
