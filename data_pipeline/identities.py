"""Who is in a video, which emotion, and which split: from a CSV file, or from the file's name.

An identity is never in two splits. Without a CSV the split is a hash of the identity, so it depends neither on the
other videos nor on their order.
"""

import csv
import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Iterable, Mapping

from data_pipeline.errors import DataError

SPLITS = ('train', 'val', 'test')
_PERCENT = {'train': 80, 'val': 10, 'test': 10}
EMOTIONS = ('angry', 'contempt', 'disgusted', 'fear', 'happy', 'neutral', 'sad', 'surprised', 'mixed')
MEAD_NAME = re.compile(r'(?P<actor>[MW]\d{3})#(?P<emotion>[a-z]+)#level_(?P<level>\d)#\d+$')
_HDTF = re.compile(r'(?P<kind>RD|WDA|WRA)_(?P<name>[^#]+?)(_\d+)?(#\d+)?$')


@dataclasses.dataclass(frozen=True)
class Label:
  """What is known about a video besides its pictures.

  Attributes:
    identity: the person.
    emotion: one of the words of `datasets.schema.Record`; '' if unknown.
    level: 1 to 3; 0 if unknown.
    split: train, val or test; '' if not given.
  """

  identity: str
  emotion: str = ''
  level: int = 0
  split: str = ''


def from_name(video_id: str) -> Label:
  """Reads a label from a file name without its ending.

  MEAD ('M003#angry#level_1#001') gives actor, emotion and level. HDTF ('WDA_BarackObama0_000#1') gives the person: the
  digits that number one person's videos are dropped, because the official lists split by video and so have 31 people
  on both sides. Otherwise the identity is what precedes the first '_' or '#'.
  """
  stem = video_id.rsplit('/', 1)[-1]
  if match := MEAD_NAME.match(stem):
    return Label(match['actor'], match['emotion'], int(match['level']))
  if match := _HDTF.match(stem):
    name = match['name'] if match['kind'] == 'RD' else match['name'].rstrip('0123456789')
    return Label(f'{match["kind"]}_{name}')
  return Label(re.split('[_#]', stem, maxsplit=1)[0] or stem)


def read_metadata(path: pathlib.Path) -> dict[str, Label]:
  """Reads a CSV with the column id (file name without its ending) and perhaps identity, split, emotion, intensity.

  Raises:
    DataError: in one line, for a missing column, an unknown split or emotion, or an identity in two splits.
  """
  try:
    with open(path, newline='', encoding='utf-8-sig') as file:
      rows = list(csv.DictReader(file))
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise DataError(f'--metadata {path}: cannot be read ({error})') from None
  if not rows or 'id' not in rows[0]:
    raise DataError(f'--metadata {path}: expected a header line with the column id (and split, identity, emotion)')
  labels, homes = {}, {}
  for number, row in enumerate(rows, start=2):
    if not (row['id'] or '').strip():
      raise DataError(f'--metadata {path}, line {number}: the column id is empty')
    label = _row_label(row, f'--metadata {path}, line {number}')
    home = homes.setdefault(label.identity, label.split)
    if home != label.split:
      raise DataError(
        f'--metadata {path}, line {number}: identity {label.identity} is in the splits '
        f'{home or "(none)"} and {label.split or "(none)"}; an identity must be in one'
      )
    labels[row['id']] = label
  return labels


def _row_label(row: Mapping[str, str], where: str) -> Label:
  guess = from_name(row['id'])
  split, emotion = (row.get('split') or '').strip(), (row.get('emotion') or '').strip()
  if split and split not in SPLITS:
    raise DataError(f'{where}: split must be one of {", ".join(SPLITS)}, got {split!r}')
  if emotion and emotion not in EMOTIONS:
    raise DataError(f'{where}: emotion must be one of {", ".join(EMOTIONS)}, got {emotion!r}')
  level = (row.get('intensity') or '').strip()
  return Label(
    (row.get('identity') or '').strip() or guess.identity,
    emotion or guess.emotion,
    int(level) if level.isdecimal() else guess.level,
    split,
  )


def assign_splits(labels: Iterable[Label], kept: Mapping[str, str]) -> dict[str, str]:
  """Returns {identity: split}.

  Given splits win; then `kept`, those of an earlier run; then 80 / 10 / 10 by a hash of the identity. When that leaves
  val or test empty and there are at least three identities, the last ones by hash fill them, so that a small folder
  can be evaluated. A single identity goes to train.
  """
  labels = list(labels)
  splits = {label.identity: label.split for label in labels if label.split}
  rest = {label.identity for label in labels} - set(splits)
  fresh = sorted(rest - set(kept), key=_hash)
  splits |= {identity: kept[identity] for identity in rest if identity in kept}
  splits |= {identity: _hashed_split(identity) for identity in fresh}
  if len(splits) == 1 and fresh:
    return {fresh[0]: 'train'}
  if len(splits) >= 3:
    for split in ('test', 'val'):
      movable = [identity for identity in fresh if splits[identity] == 'train']
      if split not in splits.values() and movable:
        splits[movable[-1]] = split
  return splits


def _hash(identity: str) -> int:
  return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], 'big')


def _hashed_split(identity: str) -> str:
  point, total = _hash(identity) % 100, 0
  for split in SPLITS:
    total += _PERCENT[split]
    if point < total:
      return split
  raise AssertionError('percentages sum to 100')
