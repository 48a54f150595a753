"""The small pieces of HTML that the report is built from. Everything that is not markup is escaped here."""

import html
import math
from collections.abc import Sequence

STYLE = """
:root { --ink: #1b2430; --soft: #5c6b7d; --line: #dde3ea; --tint: #f4f7fa; --accent: #1f5fa8; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.2rem 1.5rem 4rem; max-width: 1120px; color: var(--ink); background: #fff;
  font: 15px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; }
h1 { font-size: 1.65rem; margin: 0 0 .2rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 2.8rem 0 .4rem; padding-top: .9rem; border-top: 2px solid var(--ink); }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p { margin: .35rem 0 .8rem; max-width: 92ch; }
.soft, figcaption, .note { color: var(--soft); font-size: .88rem; }
nav { margin: .6rem 0 1.2rem; font-size: .9rem; } nav a { margin-right: 1.1rem; color: var(--accent); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(225px, 1fr)); gap: .8rem; margin: 1rem 0; }
.card { background: var(--tint); border-radius: 8px; padding: .7rem .9rem; }
.card { display: flex; flex-direction: column; }
.card b { display: block; font-size: 1.45rem; font-variant-numeric: tabular-nums; line-height: 1.3; }
.card span { color: var(--soft); font-size: .82rem; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .42rem .6rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: baseline; }
th:first-child, td:first-child { text-align: left; }
thead th { white-space: nowrap; border-bottom: 1.5px solid var(--ink); font-size: .86rem; }
td:first-child small { white-space: normal; }
tr.ours { background: var(--tint); font-weight: 600; } tr.gain td { color: var(--accent); }
td small { display: block; white-space: nowrap; color: var(--soft); font-weight: 400; font-size: .78rem; }
.wide { overflow-x: auto; } .wide td small { white-space: normal; }
.heat { margin: -.42rem -.6rem; padding: .42rem .6rem; } .heat.dark, .heat.dark small { color: #fff; }
.wide th, .wide td { padding-left: .35rem; } .wide .heat { margin-left: -.35rem; padding-left: .35rem; }
figure { margin: 1.3rem 0 1.9rem; } figcaption { margin-bottom: .4rem; } figcaption b { color: var(--ink); }
.sheet { display: grid; gap: 4px 10px; align-items: center; }
.sheet .portrait { grid-column: 2; align-self: center; }
.sheet .label { text-align: right; font-size: .84rem; } .sheet .label small { color: var(--soft); display: block; }
.sheet img { width: 100%; display: block; border-radius: 3px; }
.scale { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; text-align: center; }
.scale, .portrait { color: var(--soft); font-size: .74rem; text-align: center; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; } dt { font-weight: 600; }
dd { margin: 0; max-width: 85ch; } pre { background: var(--tint); padding: .9rem; overflow: auto; font-size: .8rem; }
summary { cursor: pointer; color: var(--accent); } svg { max-width: 100%; height: auto; }
@media print { h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""


def text(value: object) -> str:
  """Returns `value` as text that is safe between tags and in attributes."""
  return html.escape(str(value))


def document(title: str, sections: Sequence[str]) -> str:
  """Returns a whole page that needs nothing beside itself."""
  return (
    f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f'<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n'
    + '\n'.join(sections)
    + '\n</body>\n</html>\n'
  )


def cards(items: Sequence[tuple[str, str]]) -> str:
  """Returns big figures: (figure, what it is)."""
  return (
    '<div class="cards">'
    + ''.join(f'<div class="card"><b>{text(figure)}</b><span>{text(label)}</span></div>' for figure, label in items)
    + '</div>'
  )


def table(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
  """Returns a table: headings, and rows of (class of the row, cells that are HTML already)."""
  heading = ''.join(f'<th scope="col">{text(cell)}</th>' for cell in head)
  body = ''.join(
    f'<tr class="{text(kind)}">' + ''.join(f'<td>{cell}</td>' for cell in cells) + '</tr>\n' for kind, cells in rows
  )
  return f'<table><thead><tr>{heading}</tr></thead>\n<tbody>\n{body}</tbody></table>'


def heat(figure: str, note: str, share: float) -> str:
  """Returns the content of a table's cell on a ground that is the darker the nearer `share` is to 1.

  Args:
    figure: HTML already.
    note: likewise, below the figure.
    share: 0 to 1, clipped; NaN: no ground.
  """
  content = f'{figure}<small>{note}</small>'
  if math.isnan(share):
    return content
  depth = min(1.0, max(0.0, share))
  dark = ' dark' if depth > 0.6 else ''
  return f'<div class="heat{dark}" style="background: rgba(31, 95, 168, {0.9 * depth:.2f})">{content}</div>'


def definitions(items: Sequence[tuple[str, object]]) -> str:
  """Returns a list of terms and what they mean."""
  return '<dl>' + ''.join(f'<dt>{text(term)}</dt><dd>{text(meaning)}</dd>' for term, meaning in items) + '</dl>'


def sheet(caption: str, rows: Sequence[tuple[str, str, str]], scale: Sequence[str], portrait: str = '') -> str:
  """Returns labelled film strips under each other.

  Args:
    caption: HTML already.
    rows: (label, smaller note, image URI) of each strip.
    scale: a word for each column of the strips.
    portrait: URI of one more image, of the size of one frame, that is shown left of the strips.
  """
  cells = ''.join(
    f'<div class="label" style="grid-area: {row} / 1">{text(label)}<small>{text(note)}</small></div>'
    f'<img style="grid-area: {row} / 3" src="{uri}" alt="{text(label)}, in the order of the words below">'
    for row, (label, note, uri) in enumerate(rows, start=1)
  )
  if portrait:
    cells += (
      f'<div class="portrait" style="grid-row: 1 / span {len(rows)}"><img src="{portrait}" alt="source">source</div>'
    )
  words = ''.join(f'<span>{text(word)}</span>' for word in scale)
  columns = f'118px {"minmax(0, 1fr)" if portrait else "0"} minmax(0, {len(scale)}fr)'
  return (
    f'<figure><figcaption>{caption}</figcaption><div class="sheet" style="grid-template-columns: {columns}">'
    f'{cells}<div class="scale" style="grid-column: 3">{words}</div></div></figure>'
  )


def number(value: float, signed: bool = False) -> str:
  """Returns a figure with three to four digits, or a dash where there is none."""
  if math.isnan(value):
    return '–'
  digits = 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
  return f'{value:{"+" if signed else ""}.{digits}f}'.replace('-', '−')
