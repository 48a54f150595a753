"""Mock trees of MEAD and HDTF: files named and laid out as the owners distribute them, which are links to other videos.

  python -m benchmarks.mock_trees ../shared/corpus/clips heads/videos --out mock
  edtalk prepare mock/MEAD --dataset mead --out records/mead
  edtalk prepare mock/HDTF --dataset hdtf --out records/hdtf

To rehearse on where neither data set is at hand. People go to the two trees in turn, nobody to both.
"""

import argparse
import collections
import math
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console

from data_pipeline import identities, inputs, media
from data_pipeline.errors import DataError

_LISTS = 'HDTF_dataset'
_LIST = 'RD_annotion_time.txt'  # spelt as the owners do


def build(folders: Sequence[str | os.PathLike], out: pathlib.Path, limit: int = 0) -> tuple[int, int]:
  """Links the videos of `folders`, each with a metadata CSV, into OUT/MEAD and OUT/HDTF.

  Args:
    folders: of videos.
    out: where to.
    limit: videos of each folder at most, people in turn; 0 takes all.

  Returns:
    How many sentences of MEAD and takes of HDTF there are.

  Raises:
    DataError: in one line, if a folder has no videos or OUT is not empty.
  """
  if out.exists() and any(out.iterdir()):
    raise DataError(f'--out {out}: expected an empty folder')
  labels: dict[inputs.Video, identities.Label] = {}
  for folder in folders:
    videos, table = inputs.find_videos([folder]), inputs.nearby_metadata([folder])
    known = inputs.find_labels(videos, table, Console(quiet=True))
    labels |= {video: known[video] for video in _in_turn(known)[: limit or None]}
  people = sorted({label.identity for label in labels.values()})
  mead, hdtf = (
    {video: label for video, label in labels.items() if label.identity in half} for half in (people[::2], people[1::2])
  )
  return _mead(mead, out / 'MEAD'), _hdtf(hdtf, out / 'HDTF')


def _in_turn(labels: Mapping[inputs.Video, identities.Label]) -> list[inputs.Video]:
  """All videos, one of each person, then a second of each, and so on."""
  seen: collections.Counter[str] = collections.Counter()
  turns = []
  for number, (video, label) in enumerate(labels.items()):
    turns.append((seen[label.identity], number, video))
    seen[label.identity] += 1
  return [video for _, _, video in sorted(turns, key=lambda turn: turn[:2])]


def _mead(labels: Mapping[inputs.Video, identities.Label], out: pathlib.Path) -> int:
  """ACTOR/video/front/EMOTION/level_K/NNN.mp4; what has no emotion of MEAD's is left out."""
  actors: dict[str, str] = {}
  sentences: collections.Counter[pathlib.Path] = collections.Counter()
  for video, label in labels.items():
    if label.emotion not in identities.EMOTIONS:
      continue
    actor = actors.setdefault(label.identity, f'M{len(actors) + 1:03d}')
    home = out / actor / 'video' / 'front' / label.emotion / f'level_{label.level or 1}'
    sentences[home] += 1
    _link(video, home / f'{sentences[home]:03d}')
  return sentences.total()


def _hdtf(labels: Mapping[inputs.Video, identities.Label], out: pathlib.Path) -> int:
  """A video of each person, whose takes are cut already (RD_Radio1_000.mp4), and the owners' list of them."""
  takes: dict[str, list[str]] = collections.defaultdict(list)  # person -> spans
  numbers: dict[str, int] = {}
  for video, label in labels.items():
    spans = takes[label.identity]
    number = numbers.setdefault(label.identity, len(numbers) + 1)
    _link(video, out / 'videos' / f'RD_Radio{number}_{len(spans):03d}')
    begin, length = 60 * len(spans), max(1, math.ceil(media.probe(video.path).seconds))
    spans.append(f'{_clock(begin)}-{_clock(begin + length)}')
  (out / _LISTS).mkdir(parents=True)
  lines = [f'Radio{numbers[person]}.mp4 {" ".join(spans)}\n' for person, spans in takes.items()]
  (out / _LISTS / _LIST).write_text(''.join(lines), encoding='utf-8')
  return sum(map(len, takes.values()))


def _link(video: inputs.Video, name: pathlib.Path) -> None:
  """Links a video, and the landmarks beside it, under another name."""
  name.parent.mkdir(parents=True, exist_ok=True)
  for path in filter(None, (video.path, video.landmarks)):
    name.with_suffix(path.suffix).symlink_to(path.resolve())


def _clock(seconds: int) -> str:
  return f'{seconds // 60:02d}:{seconds % 60:02d}'


def main(arguments: Sequence[str] | None = None) -> int:
  """Builds both trees and says how large they are."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('folders', nargs='+', help='of videos, each with a clips.csv or metadata.csv')
  parser.add_argument('--out', required=True, type=pathlib.Path)
  parser.add_argument('--limit', type=int, default=0, help='videos of each folder, people in turn; 0: all')
  options = parser.parse_args(arguments)
  sentences, takes = build(options.folders, options.out, options.limit)
  print(f'wrote {options.out}: MEAD with {sentences} sentences, HDTF with {takes} takes')
  return 0


if __name__ == '__main__':
  try:
    sys.exit(main())
  except DataError as error:
    sys.exit(f'error: {error}')
