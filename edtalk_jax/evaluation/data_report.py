"""`edtalk data-report`: one page that shows what a data set holds and what was left out."""

import collections
import io
import pathlib
from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from data_pipeline.quality import survey
from data_pipeline.quality.limits import Limits
from data_pipeline.quality.survey import Kept, Rejected, Survey
from data_pipeline.rates import FPS
from edtalk_jax.evaluation import page, report

REJECTS = 60  # that are shown with a picture, the kinds in turn
_COLUMNS, _BINS = 3, 30
_SPLITS = ('train', 'val', 'test')
# Column of the manifest, heading, axis.
_HISTOGRAMS = (
  ('face', 'Face size', 'source pixels, brows to chin'),
  ('sharpness', 'Sharpness', 'variance of the Laplacian'),
  ('yaw', 'Yaw', 'degrees, median of the clip'),
  ('pitch', 'Pitch', 'degrees, median of the clip'),
  ('jitter', 'Landmark jitter', '% of the distance of the eyes'),
  ('cut', 'Most sudden change', 'grey levels'),
  ('loudness', 'Loudness', 'dB below full scale'),
  ('av_offset', 'Sound late by, as found', 'frames of 40 ms, where trusted'),
  ('av_confidence', 'Confidence in the offset of the sound', 'correlation above any rival'),
)
_TRUSTED = Limits().trust  # confidence from which an offset is drawn
_STYLE = """<style>
.contact { display: grid; grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); gap: 6px; margin: .8rem 0; }
.contact figure, .rejects figure { margin: 0; }
.contact img, .rejects img { width: 100%; display: block; border-radius: 4px; }
.contact figcaption { font-size: .68rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.rejects { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 14px 12px; }
.rejects img, .rejects .none { height: 96px; width: auto; max-width: 100%; border-radius: 4px; margin-bottom: .25rem; }
.rejects .none { width: 96px; background: var(--tint); }
.rejects figcaption { font-size: .76rem; line-height: 1.35; overflow-wrap: anywhere; }
</style>"""


def write(
  folder: str,
  out: str,
  *,
  show: int = 96,
  measure: int = 200,
  done: Callable[[int, int], None] = lambda count, total: None,
) -> Survey:
  """Surveys the records in `folder` and writes the page to `out`; see `survey.take`. Returns what it shows."""
  found = survey.take(folder, show=show, measure=measure, done=done)
  report.write(pathlib.Path(out), render(found, title=f'Data set {pathlib.Path(folder).resolve().name}'))
  return found


def render(found: Survey, *, title: str) -> str:
  """Returns the page."""
  sections = [
    _STYLE,
    f'<h1>{page.text(title)}</h1>',
    '<nav>'
    + ''.join(
      f'<a href="#{name}">{label}</a>'
      for name, label in (
        ('splits', 'Splits and emotions'),
        ('measures', 'Measures'),
        ('contact', 'Contact sheet'),
        ('rejected', 'Rejected'),
      )
    )
    + '</nav>',
    _headline(found),
    _splits(found.kept),
    _measures(found),
    _contact(found),
    _rejects(found.rejected),
  ]
  return page.document(title, sections)


def _headline(found: Survey) -> str:
  kept = found.kept
  heard = sum(clip.has_audio for clip in kept)
  runs = len(kept) + len(found.rejected)
  return page.cards(
    [
      (f'{len(kept):,}', 'clips'),
      (_hours(kept), 'of video'),
      (f'{len({c.identity for c in kept}):,}', 'people'),
      (f'{heard / len(kept):.0%}' if kept else '–', f'with sound ({heard:,} clips)'),
      (f'{len(found.rejected) / runs:.1%}' if runs else '–', f'rejected ({len(found.rejected):,} of {runs:,})'),
    ]
  )


def _hours(clips: Sequence[Kept]) -> str:
  seconds = sum(clip.frames for clip in clips) / FPS
  return f'{seconds / 3600:.1f} h' if seconds >= 3600 else f'{seconds / 60:.1f} min'


def _splits(kept: Sequence[Kept]) -> str:
  groups = collections.defaultdict(list)
  for clip in kept:
    groups[clip.split].append(clip)
  order = sorted(groups, key=lambda split: (_SPLITS.index(split) if split in _SPLITS else len(_SPLITS), split))
  rows = [
    (
      '',
      [
        page.text(split),
        f'{len(groups[split]):,}',
        _hours(groups[split]),
        f'{len({clip.identity for clip in groups[split]}):,}',
        f'{sum(clip.has_audio for clip in groups[split]):,}',
      ],
    )
    for split in order
  ]
  people = collections.Counter(clip.identity for clip in kept)
  most = ', '.join(f'{page.text(name)} ({count})' for name, count in people.most_common(5))
  emotions = collections.Counter(clip.emotion or 'unknown' for clip in kept)
  table = page.table(
    ['Emotion', *order],
    [
      (
        '',
        [
          page.text(emotion),
          *(f'{sum((clip.emotion or "unknown") == emotion for clip in groups[split]):,}' for split in order),
        ],
      )
      for emotion, _ in emotions.most_common()
    ],
  )
  head = ['Split', 'Clips', 'Time', 'People', 'With sound']
  return (
    '<h2 id="splits">Splits and emotions</h2>'
    + page.table(head, rows)
    + f'<p class="note">Most clips are of {most}. {page.text(_apart(groups))}</p>'
    + table
  )


def _apart(groups: Mapping[str, Sequence[Kept]]) -> str:
  """Says whether people are in one split only, as they should be."""
  splits = collections.Counter(name for clips in groups.values() for name in {clip.identity for clip in clips})
  twice = sorted(name for name, count in splits.items() if count > 1)
  if not twice:
    return 'No person is in two splits.'
  several = 'people are' if len(twice) > 1 else 'person is'
  return f'{len(twice):,} {several} in more than one split: {", ".join(twice[:5])}{" ..." if len(twice) > 5 else ""}.'


def _measures(found: Survey) -> str:
  known = [clip for clip in found.kept if clip.measures]
  note = f'Of {len(known):,} of {len(found.kept):,} clips'
  if found.measured_here:
    note += (
      f'; {found.measured_here:,} were measured for this page from the records, since the manifest has no '
      'figures, with the face in pixels of the stored frames'
    )
  note += '. Red: clips that were rejected after they had been measured. docs/quality.md defines each measure.'
  return f'<h2 id="measures">Measures</h2><p>{note}</p>' + _histograms(found)


def _histograms(found: Survey) -> str:
  """Draws a histogram of each measure, and of the clips' length, and returns an SVG element."""
  panels = [('Duration', 'seconds', [clip.frames / FPS for clip in found.kept], [])]
  for name, heading, axis in _HISTOGRAMS:
    kept, rejected = ([_value(item, name) for item in items] for items in (found.kept, found.rejected))
    panels.append((heading, axis, [v for v in kept if v is not None], [v for v in rejected if v is not None]))
  panels = [panel for panel in panels if panel[2] or panel[3]]
  rows = -(-len(panels) // _COLUMNS)
  with matplotlib.rc_context(
    {
      'svg.fonttype': 'none',
      'font.family': 'sans-serif',
      'font.size': 9,
      'axes.spines.top': False,
      'axes.spines.right': False,
      'svg.hashsalt': 'edtalk',
    }
  ):
    figure = Figure(figsize=(10.5, 2.1 * rows), layout='constrained')
    for position, (heading, axis, kept, rejected) in enumerate(panels, start=1):
      axes = figure.add_subplot(rows, _COLUMNS, position)
      edges = np.histogram_bin_edges(kept + rejected, bins=_BINS)
      axes.hist([kept, rejected], bins=edges, stacked=True, color=['#1f5fa8', '#d1495b'])
      axes.set_title(heading, fontsize=10, loc='left')
      axes.set_xlabel(axis)
      axes.set_ylabel('clips' if position % _COLUMNS == 1 else '')
    stream = io.StringIO()
    FigureCanvasSVG(figure).print_svg(stream, metadata=dict.fromkeys(('Creator', 'Date', 'Format', 'Type')))
  svg = stream.getvalue()
  return svg[svg.index('<svg') :]


def _value(item: Kept | Rejected, name: str) -> float | None:
  if name == 'av_offset' and (item.measures.get('av_confidence') or 0) < _TRUSTED:
    return None
  return item.measures.get(name)


def _contact(found: Survey) -> str:
  pictures = []
  for clip in found.kept:
    if clip.clip in found.shown:
      about = f'{clip.clip}: {clip.split}, {clip.emotion or "emotion unknown"}, {clip.frames} frames'
      pictures.append(
        f'<figure title="{page.text(about)}"><img src="{_uri(found.shown[clip.clip])}" alt="">'
        f'<figcaption>{page.text(clip.identity)}</figcaption></figure>'
      )
  return (
    f'<h2 id="contact">Contact sheet</h2><p>The middle frames of {len(pictures):,} clips, people in turn; point '
    f'at one for its name.</p><div class="contact">{"".join(pictures)}</div>'
  )


def _rejects(rejected: Sequence[Rejected]) -> str:
  head = '<h2 id="rejected">Rejected</h2>'
  if not rejected:
    return head + '<p>Nothing: every run of a face became a clip, or there is no manifest.</p>'
  groups = survey.kinds(rejected)
  rows = [
    (
      '',
      [
        page.text(kind),
        f'{len(items):,}',
        f'{sum(item.frames for item in items) / FPS:,.1f}',
        page.text(max((item.reason for item in items), key=len)[:160]),
      ],
    )
    for kind, items in groups.items()
  ]
  # The kinds in turn, so that each is seen.
  turns = sorted(((k, kind) for kind, items in groups.items() for k in range(len(items))), key=lambda turn: turn[0])
  shown = [groups[kind][k] for k, kind in turns[:REJECTS]]
  left = f' {len(rejected) - len(shown):,} more are in manifest.jsonl.' if len(rejected) > len(shown) else ''
  figures = ''.join(_reject(item) for item in sorted(shown, key=lambda item: item.reason))
  return (
    head
    + page.table(['Reason', 'Runs', 'Seconds', 'For example'], rows)
    + f'<p class="note">Whole videos that gave nothing count as one run of no length.{left}</p>'
    + f'<div class="rejects">{figures}</div>'
  )


def _reject(item: Rejected) -> str:
  picture = f'<img src="{_uri(item.thumbnail)}" alt="">' if item.thumbnail else '<div class="none"></div>'
  where = f', frames {item.begin_frame} to {item.begin_frame + item.frames - 1}' if item.frames else ''
  about = f'<b>{page.text(item.video)}</b>{where}<br>{page.text(item.reason)}'
  return f'<figure>{picture}<figcaption>{about}</figcaption></figure>'


def _uri(picture: str) -> str:
  return f'data:image/jpeg;base64,{picture}'
