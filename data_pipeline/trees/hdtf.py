"""HDTF (Zhang et al., CVPR 2021): talking heads from the web, cut by the owners' lists into takes, and these into 5 s.

The owners distribute lists (HDTF_dataset/RD_annotion_time.txt and so on), not videos. With the lists each line names
a video and its takes, 'Radio11.mp4 00:30-01:00 01:30-02:30'; take k of it is RD_Radio11_00k, wherever the user has it:
cut already (RD_Radio11_001.mp4, RD_Radio11_1.mp4, Radio11_1.mp4) or within the video (RD_Radio11.mp4, Radio11.mp4).
Without lists, files called RD_Radio11_001.mp4 are takes and RD_Radio11_001#3.mp4 pieces of 5 s.
"""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from data_pipeline.cutting import LONGEST, PIECES, WHOLE, Excerpt
from data_pipeline.errors import DataError
from data_pipeline.identities import from_name
from data_pipeline.inputs import VIDEO_ENDINGS, Listing, Video, in_order

_LIST = re.compile(r'(?P<kind>RD|WDA|WRA)_annot(?:at)?ion_time\.txt$')  # 'annotion' is how the owners spell it
_TAKE = re.compile(r'(?:RD|WDA|WRA)_.+_\d{3}(?P<piece>#\d+)?$')
_SPAN = re.compile(r'(?P<begin>[\d:]+)-(?P<end>[\d:]+)$')


class Take(NamedTuple):
  """One take of a list: the owners' names and when it is seen, in seconds."""

  kind: str
  video: str
  number: int
  begin: float
  end: float

  @property
  def name(self) -> str:
    """Name in EDTalk's lists, e.g. RD_Radio11_001."""
    return f'{self.kind}_{self.video}_{self.number:03d}'


def find(files: Sequence[pathlib.Path]) -> Listing:
  """Lists takes as 'RD_Radio1_000'; their clips are 'RD_Radio1_000#1' and so on, 5 s each.

  Raises:
    DataError: in one line, for a list that cannot be read, or two files of one name.
  """
  lists = [(match['kind'], path) for path in files if (match := _LIST.match(path.name))]
  videos = [path for path in files if path.suffix.lower() in VIDEO_ENDINGS]
  if not lists:
    return _by_name(videos)
  takes = [take for kind, path in lists for take in read_times(kind, path.read_text(encoding='utf-8'), str(path))]
  return by_lists(takes, videos)


def read_times(kind: str, text: str, where: str) -> list[Take]:
  """Reads a list of takes.

  Args:
    kind: RD, WDA or WRA.
    text: lines of 'NAME.mp4 MM:SS-MM:SS ...'.
    where: named in errors.

  Raises:
    DataError: in one line, at a time that is none.
  """
  takes = []
  for number, line in enumerate(text.splitlines(), start=1):
    name, *spans = line.split() or ['']
    for k, span in enumerate(spans):
      match = _SPAN.match(span)
      begin, end = (_seconds(match['begin']), _seconds(match['end'])) if match else (0, 0)
      if begin >= end:
        raise DataError(f'{where}, line {number}: expected MM:SS-MM:SS with an end after the beginning, got {span!r}')
      takes.append(Take(kind, name.removesuffix('.mp4'), k, begin, end))
  return takes


def _seconds(text: str) -> float:
  """Reads MM:SS or H:MM:SS; -1 if it is neither."""
  parts = text.split(':')
  if not 2 <= len(parts) <= 3 or not all(part.isdecimal() for part in parts):
    return -1
  return float(sum(int(part) * 60**k for k, part in enumerate(reversed(parts))))


def by_lists(takes: Sequence[Take], videos: Sequence[pathlib.Path]) -> Listing:
  """Looks for every take of the lists among `videos`; says how many are missing."""
  stems: dict[str, list[pathlib.Path]] = {}
  for path in videos:
    stems.setdefault(path.stem, []).append(path)
  kinds: dict[str, set[str]] = {}
  for take in takes:
    kinds.setdefault(take.video, set()).add(take.kind)
  found, missing = [], 0
  for take in takes:
    prefixes = [f'{take.kind}_'] + ([''] if len(kinds[take.video]) == 1 else [])
    cut = _first(
      stems,
      [name for p in prefixes for name in (f'{p}{take.video}_{take.number:03d}', f'{p}{take.video}_{take.number}')],
    )
    whole = _first(stems, [f'{p}{take.video}' for p in prefixes])
    if cut is not None:
      excerpt = Excerpt(cut=PIECES, follow=LONGEST)
    elif whole is not None:
      excerpt = Excerpt(begin=take.begin, end=take.end, cut=PIECES, follow=LONGEST)
    else:
      missing += 1
      continue
    found.append((Video(cut or whole, take.name, excerpt=excerpt), from_name(take.name)))
  notes = (f'{missing} of {len(takes)} takes of the lists are not there',) if missing else ()
  return in_order(found, notes)


def _by_name(videos: Sequence[pathlib.Path]) -> Listing:
  found = []
  for path in videos:
    if match := _TAKE.match(path.stem):
      excerpt = Excerpt(cut=WHOLE if match['piece'] else PIECES, follow=LONGEST)
      found.append((Video(path, path.stem, excerpt=excerpt), from_name(path.stem)))
  others = len(videos) - len(found)
  return in_order(
    found, (f'{others} videos have no name of HDTF (RD_Radio1_000) and there are no lists of takes',) if others else ()
  )


def _first(stems: Mapping[str, Sequence[pathlib.Path]], names: Sequence[str]) -> pathlib.Path | None:
  """Returns the file of the first name that there is. Raises DataError if there are two."""
  paths = next((stems[name] for name in names if name in stems), [])
  if len(paths) > 1:
    raise DataError(f'{paths[0]} and {paths[1]} are both called {paths[0].stem}; give the folder of one')
  return paths[0] if paths else None
