"""`report.html`: one page that shows and explains the evaluation of a run, and needs nothing beside itself."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edtalk_jax.evaluation import metrics, page, pictures, spaces_page
from edtalk_jax.evaluation.evaluate import Scored
from edtalk_jax.evaluation.scoring import GENERATED, HEARD, MOUTH_DRIVER, MOUTH_PASTED, POSE_DRIVER, TRUE, UNCHANGED
from edtalk_jax.evaluation.spaces import Spaces
from edtalk_jax.evaluation.statistics import Interval
from edtalk_jax.evaluation.summary import ProtocolSummary

COLUMNS = 8  # frames of a film strip
GAIN = 2  # of difference images

TITLES = {'same_clip': 'Same-clip driving', 'cross': 'Cross-driving', 'video': 'Videos'}
METHOD_NOTES = {
  GENERATED: 'the model',
  HEARD: 'the model, its mouth driven by the sound alone',
  UNCHANGED: 'every frame is the portrait: what doing nothing scores',
  MOUTH_PASTED: "the portrait with the driver's mouth pasted on it, as in training's mouth swap",
  MOUTH_DRIVER: "the mouth driver's frames themselves: right mouth, wrong person and pose",
  POSE_DRIVER: "the pose driver's frames themselves: right pose, wrong person and mouth",
  TRUE: 'what a perfect model would score',
}
INTRODUCTIONS = {
  'same_clip': 'The first frame of a held-out clip is the portrait; later frames of the same clip drive every motion '
  'space and are the truth to compare with. (Pasting the whole driver would return the truth itself, so '
  'the baseline pastes its mouth only.)',
  'cross': 'The portrait is of one held-out person, the mouth follows a clip of a second, head pose a clip of a third. '
  'Real clips have no true frame for this, so mouth shape and head pose are compared with their drivers; of '
  'rendered clips the portrait with the drivers’ mouth and pose factors is the truth. Motion spaces other '
  'than these two keep the portrait’s own.',
  'video': 'Same-clip driving over consecutive frames: what can only be seen in motion, and heard. One number for each '
  'sequence.',
}


def render(
  *,
  title: str,
  facts: Sequence[tuple[str, object]],
  summaries: Sequence[ProtocolSummary],
  scored: Sequence[Scored],
  curves: pictures.Curves,
  record: Mapping[str, Any],
  notes: Sequence[str] = (),
  spaces: Spaces | None = None,
) -> str:
  """Returns the page.

  Args:
    title: of the page.
    facts: (name, value) pairs that identify the evaluation: run, step, data, split, versions, ...
    summaries: the numbers.
    scored: sequences; those with a sample are shown.
    curves: losses of the run, from `pictures.read_curves`.
    record: the run's configuration and whatever else identifies it; printed as JSON.
    notes: sentences about what could not be measured.
    spaces: how far the motion spaces are apart; None: not measured.
  """
  sections = [
    f'<h1>{page.text(title)}</h1>',
    f'<div class="soft">{" · ".join(f"{page.text(k)} <b>{page.text(v)}</b>" for k, v in facts[:4])}</div>',
    _navigation(summaries, curves, spaces),
    _headline(summaries),
    *(f'<p class="note">{page.text(note)}</p>' for note in notes),
    *(_protocol(summary, [s for s in scored if s.driving.protocol == summary.protocol]) for summary in summaries),
  ]
  if spaces is not None:
    sections.append(spaces_page.section(spaces))
  if curves:
    sections.append(
      '<h2 id="losses">Losses</h2><p>Every loss term as it enters the total, over the training steps; '
      'validation on held-out identities where the run measured it.</p>' + pictures.loss_figure(curves)
    )
  sections.append(
    '<h2 id="definitions">What the metrics mean</h2>'
    + page.definitions([(metric.heading, metric.definition) for summary in summaries for metric in summary.metrics])
  )
  sections.append(
    '<h2 id="run">This evaluation</h2>'
    + page.definitions(facts)
    + '<details><summary>configuration of the run</summary><pre>'
    + page.text(json.dumps(record, indent=2, ensure_ascii=False))
    + '</pre></details>'
  )
  return page.document(title, sections)


def write(path: pathlib.Path, content: str) -> None:
  """Writes text whole or not at all, making the folder if needed."""
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(path.name + '.tmp')
  temporary.write_text(content, encoding='utf-8')
  temporary.replace(path)


def _navigation(summaries: Sequence[ProtocolSummary], curves: pictures.Curves, spaces: Spaces | None) -> str:
  links = [(s.protocol, TITLES[s.protocol]) for s in summaries]
  links += [(spaces_page.ANCHOR, spaces_page.TITLE)] if spaces is not None else []
  links += [('losses', 'Losses')] if curves else []
  links += [('definitions', 'What the metrics mean'), ('run', 'This evaluation')]
  return '<nav>' + ''.join(f'<a href="#{anchor}">{page.text(label)}</a>' for anchor, label in links) + '</nav>'


def _headline(summaries: Sequence[ProtocolSummary]) -> str:
  items = []
  for summary in summaries:
    for metric in summary.metrics:
      ours, still = (summary.methods[name][metric.key].mean for name in (GENERATED, UNCHANGED))
      items.append(
        (
          page.number(ours),
          f'{metric.heading}, {TITLES[summary.protocol].lower()}; source unchanged: {page.number(still)}',
        )
      )
  return page.cards(items)


def _protocol(summary: ProtocolSummary, scored: Sequence[Scored]) -> str:
  samples = [s for s in scored if s.sample is not None]
  parts = [
    f'<h2 id="{summary.protocol}">{TITLES[summary.protocol]}</h2>',
    f'<p>{page.text(INTRODUCTIONS[summary.protocol])}</p>',
    _table(summary) if summary.metrics else '<p>No metric could be measured; the pictures remain.</p>',
    f'<p class="note">Mean over {summary.identities} identities ({summary.sequences} sequences); below it the 95 % '
    'interval from resampling identities. Arrows point to the better side. Frames in which no face is found have no '
    'landmark metric; they are counted as missing.</p>',
  ]
  if summary.skipped:
    parts.append(
      f'<p class="note">Not measured: {page.text(", ".join(metric.label for metric in summary.skipped))}'
      '; the notes above say why.</p>'
    )
  if samples:
    parts.append(f'<h3>Side by side</h3>{_grid(summary.protocol, samples)}<h3>Over time</h3>')
    parts += [_film(s) for s in samples]
  return '\n'.join(parts)


def _table(summary: ProtocolSummary) -> str:
  rows = []
  for method, row in summary.methods.items():
    cells = [f'{page.text(method)}<small>{page.text(METHOD_NOTES[method])}</small>']
    for metric in summary.metrics:
      value = row[metric.key]
      missing = f'<br>{value.missing} of {value.frames + value.missing} missing' if value.missing else ''
      cells.append(f'{page.number(value.mean)}<small>{_range(value)}{missing}</small>')
    rows.append(('ours' if method == GENERATED else '', cells))
  gain = ['generated minus source unchanged<small>over the frames in which both are measured</small>']
  for metric in summary.metrics:
    value = summary.gain[metric.key]
    gain.append(f'{page.number(value.mean, signed=True)}<small>{_range(value, signed=True)}</small>')
  return page.table(['', *(metric.heading for metric in summary.metrics)], [*rows, ('gain', gain)])


def _range(value: Interval, signed: bool = False) -> str:
  return f'{page.number(value.low, signed)} to {page.number(value.high, signed)}' if value.frames else ''


def _grid(protocol: str, scored: Sequence[Scored]) -> str:
  """One frame of each sequence, a column each."""
  samples = [s.sample for s in scored]
  middle = [len(sample.mouth) // 2 for sample in samples]
  rows = [('source', 'first frame', [sample.source for sample in samples])]
  if protocol == 'same_clip':
    rows.append(('driver = truth', '', [s.mouth[i] for s, i in zip(samples, middle, strict=True)]))
  else:
    rows.append(('mouth driver', '', [s.mouth[i] for s, i in zip(samples, middle, strict=True)]))
    rows.append(('pose driver', '', [s.pose[i] for s, i in zip(samples, middle, strict=True)]))
  known = all(s.truth is not None for s in samples)
  if known and protocol == 'cross':
    rows.append(('truth', 'rendered', [s.truth[i] for s, i in zip(samples, middle, strict=True)]))
  rows.append(('generated', '', [s.predictions[GENERATED][i] for s, i in zip(samples, middle, strict=True)]))
  if known:
    rows.append(
      (
        'difference',
        f'|generated − truth| × {GAIN}',
        [
          pictures.difference(s.predictions[GENERATED][i], s.truth[i], GAIN)
          for s, i in zip(samples, middle, strict=True)
        ],
      )
    )
  rows.append(
    ('mouth pasted', 'baseline', [s.predictions[MOUTH_PASTED][i] for s, i in zip(samples, middle, strict=True)])
  )
  strips = [(label, note, pictures.strip(frames)) for label, note, frames in rows]
  return page.sheet('One column for each sequence, at the middle of its frames.', strips, [s.identity for s in scored])


def _film(scored: Scored) -> str:
  """A sequence over time, a row for each kind of frame."""
  sample = scored.sample
  shown = pictures.evenly(len(sample.mouth), COLUMNS)
  generated = sample.predictions[GENERATED]
  rows = [('generated', '', generated)]
  if scored.driving.protocol == 'same_clip':
    rows.insert(0, ('driver = truth', scored.mouth_id, sample.mouth))
    caption = f'<b>{page.text(scored.source_id)}</b>'
  else:
    if sample.truth is not None:
      rows.insert(0, ('truth', 'rendered', sample.truth))
    rows.insert(0, ('pose driver', scored.pose_id, sample.pose))
    rows.insert(0, ('mouth driver', scored.mouth_id, sample.mouth))
    caption = (
      f'<b>{page.text(scored.source_id)}</b> driven by {page.text(scored.mouth_id)} (mouth) and '
      f'{page.text(scored.pose_id)} (pose)'
    )
  if sample.truth is not None:
    rows.append(('difference', f'× {GAIN}', pictures.difference(generated, sample.truth, GAIN)))
  caption += _scores_line(scored)
  strips = [(label, note, pictures.strip(frames[shown])) for label, note, frames in rows]
  return page.sheet(
    caption, strips, [f'frame {scored.driving.frames[i]}' for i in shown], portrait=pictures.strip([sample.source])
  )


def _scores_line(scored: Scored) -> str:
  parts = []
  for metric in metrics.BY_PROTOCOL[scored.driving.protocol]:
    values = scored.scores[GENERATED].get(metric.key)
    if values is not None and not np.isnan(values).all():
      parts.append(f'{page.text(metric.label)} {page.number(float(np.nanmean(values)))}')
  return ' · ' + ', '.join(parts) if parts else ''
