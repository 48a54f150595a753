"""The report as a page of Markdown and as text for a terminal."""

import collections
from collections.abc import Sequence
from typing import Any

from edtalk_jax.reporting.report import Report

SHOWN = 12  # rows of the longer tables
METHODS = {
  'compiled': "ahead of time, by the chip's own compiler; times are its estimates, not measurements",
  'shapes': 'from shapes alone: a floor that no program is faster than',
}
Rows = list[tuple[str, ...]]


def facts(report: Report) -> Rows:
  """The report's numbers as (what, value) rows."""
  memory, gib = report.memory, lambda size: f'{size / 2**30:.2f} GiB'
  mesh = ' x '.join(f'{axis} {size}' for axis, size in report.mesh.items())
  rows = [
    (
      'machine',
      f'{report.topology}'
      + (f', {report.slices} slices' if report.slices > 1 else '')
      + f': {report.chips} chips, {report.devices} devices, mesh {mesh}',
    ),
    ('batch', f'{report.batch_size} examples, {report.batch_size / report.devices:g} a device, {report.dtype}'),
    (
      'memory of a device',
      f'{gib(memory.peak)} of {gib(memory.limit)}: arguments {gib(memory.arguments)}, '
      f'temporaries {gib(memory.temporaries)}, other {gib(memory.other)}',
    ),
    (
      'fits',
      ('yes' if report.fits else 'NO')
      + f'; largest batch {report.largest_batch} ({report.largest_batch // report.devices} a device), estimated',
    ),
    (
      'operations',
      f'{report.model_flops / report.batch_size * report.devices / 1e12:.2f} TFLOP an example, '
      f'{report.model_flops / 1e12:.2f} a device and step; {report.executed_flops / 1e12:.2f} as this platform runs it',
    ),
  ]
  if not report.step_seconds:
    return rows
  exposed = report.exposed_seconds / report.step_seconds
  unestimated = ', '.join(f'{share.count} {share.name}' for share in report.unestimated)
  cost = (
    'no price known (--prices)'
    if report.million_cost is None
    else (
      f'{report.million_cost:.2f} {report.currency} a million examples, at {report.chip_hour:g} a chip and hour '
      f'({report.price_date})'
    )
  )
  return [
    *rows,
    ('HBM traffic', f'{report.bytes_accessed / 1e9:.1f} GB a step, {report.intensity:.0f} FLOP a byte'),
    (
      'step',
      f'{report.step_seconds * 1e3:.1f} ms: computation {report.compute_seconds * 1e3:.1f}, collectives not '
      f'hidden {report.exposed_seconds * 1e3:.2f} ({exposed:.1%})',
    ),
    *([('not in the step', f'{unestimated}: the compiler gives no time for them')] if unestimated else []),
    ('floor', f'{report.floor_seconds * 1e3:.1f} ms for convolutions and matrix products at the peaks of the chip'),
    ('speed', f'{report.examples_per_second:.1f} examples/s, {report.mfu:.1%} MFU'),
    ('cost', cost),
  ]


def collective_rows(report: Report) -> Rows:
  """Collectives of one kind and group together: kind, group, number, MB, ms, ms hidden."""
  groups = collections.defaultdict(list)
  for one in report.collectives:
    groups[one.kind, one.group].append(one)
  total = lambda many, name: sum(getattr(one, name) for one in many)
  rows = sorted(groups.items(), key=lambda item: -total(item[1], 'seconds'))
  return [
    (
      kind,
      str(group),
      str(len(many)),
      f'{total(many, "size") / 1e6:.2f}',
      f'{total(many, "seconds") * 1e3:.3f}',
      f'{total(many, "hidden") * 1e3:.3f}',
    )
    for (kind, group), many in rows
  ]


def share_rows(shares: Sequence[Any]) -> Rows:
  """Estimated cycles: name, number of operations, millions, percent; the smaller ones as one row."""
  cycles = sum(share.cycles for share in shares)
  row = lambda name, count, part: (name, str(count), f'{part / 1e6:.2f}', f'{part / cycles:.1%}')
  rows = [row(share.name, share.count, share.cycles) for share in shares[:SHOWN]]
  if rest := shares[SHOWN:]:
    rows.append(row(f'{len(rest)} others', sum(s.count for s in rest), sum(s.cycles for s in rest)))
  return rows


def tables(report: Report) -> list[tuple[str, tuple[str, ...], Rows]]:
  """All tables: title, heads, rows."""
  share = ('operations', 'M cycles', 'share')
  found = [
    ('', ('', ''), facts(report)),
    ('Collectives of a step', ('kind', 'devices', 'number', 'MB held', 'ms', 'ms hidden'), collective_rows(report)),
    ('Estimated cycles by operation', ('kind', *share), share_rows(report.kinds)),
    ('Estimated cycles by function', ('function', *share), share_rows(report.sources)),
  ]
  return [table for table in found if table[2]]


def title(report: Report) -> str:
  """What the report is about, in a line."""
  return f'{report.config} on {report.topology}, stage {report.stage}'


def markdown(report: Report) -> str:
  """The report as a page."""
  lines = [f'# {title(report)}', '', f'Made {METHODS[report.method]}.', '']
  if report.overrides:
    lines += [f'With `{" ".join(report.overrides)}`.', '']
  for head, heads, rows in tables(report):
    lines += [f'## {head}', ''] if head else []
    lines += [_row(heads), _row(['---'] * len(heads)), *map(_row, rows), '']
  lines += [f'Program `{report.program[:16]}`, {origin(report)}.', '']
  return '\n'.join(lines)


def origin(report: Report) -> str:
  """What the program was made by: versions, and the compiler's time and options."""
  versions = ', '.join(f'{name} {version}' for name, version in report.versions.items())
  compiled = f'compiled in {report.compile_seconds:g} processor seconds' if report.compile_seconds else 'not compiled'
  return f'{versions}; {compiled}' + ''.join(f', {name}={value}' for name, value in report.compiler.items())


def show(report: Report, console: Any) -> None:
  """Prints the report to a `rich.console.Console`."""
  from rich.table import Table

  chosen = f' with {" ".join(report.overrides)}' if report.overrides else ''
  console.print(f'{title(report)}{chosen}; made {METHODS[report.method]}', markup=False)
  for head, heads, rows in tables(report):
    table = Table(title=head or None, show_header=bool(head), title_justify='left')
    for at, name in enumerate(heads):
      table.add_column(name, justify='right' if head and at else 'left')
    for row in rows:
      table.add_row(*row)
    console.print(table)
  console.print(f'Program {report.program[:16]}, {origin(report)}.', markup=False)


def _row(cells: Sequence[str]) -> str:
  return f'| {" | ".join(cells)} |'
