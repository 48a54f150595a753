"""VoxCeleb and trees like it: PERSON/SOURCE/NNNNN.mp4, as VoxCeleb2 is distributed, or FOMM's PERSON#SOURCE#BEGIN#END.

The owners keep people apart in the folders dev and test (FOMM: train and test); within dev a hash of the person decides
between train and val. Without such folders all people are assigned by hash.
"""

import hashlib
import pathlib
import re
from collections.abc import Sequence

from data_pipeline.cutting import LONGEST, Excerpt
from data_pipeline.identities import Label
from data_pipeline.inputs import VIDEO_ENDINGS, Listing, Video, in_order

_TREE = re.compile(r'(?:^|.*/)(?P<person>id\d{5})/(?P<source>[\w-]{11})/(?P<number>\d+)$')
_FLAT = re.compile(r'(?P<person>id\d{5})#(?P<source>[\w-]{11})(?:#\d+)+$')
_SPLITS = {'dev': 'train', 'train': 'train', 'test': 'test'}
_VAL_PERCENT = 10


def find(files: Sequence[pathlib.Path]) -> Listing:
  """Lists the videos of people among `files` as 'id00012#21Uxsk56VDQ#00001'.

  Raises:
    DataError: if two files have one name.
  """
  found, others = [], 0
  for path in files:
    if path.suffix.lower() not in VIDEO_ENDINGS:
      continue
    match = _FLAT.match(path.stem) or _TREE.match(path.with_suffix('').as_posix())
    if not match:
      others += 1
      continue
    name = path.stem if match.re is _FLAT else f'{match["person"]}#{match["source"]}#{match["number"]}'
    label = Label(match['person'], split=_split(path.parts, match['person']))
    found.append((Video(path, name, excerpt=Excerpt(follow=LONGEST)), label))
  return in_order(found, (f'{others} videos lie elsewhere than PERSON/SOURCE/NUMBER',) if others else ())


def _split(parts: Sequence[str], person: str) -> str:
  """Returns the owners' split, with a part of theirs for training set aside as val; '' where they have none."""
  split = next((_SPLITS[part] for part in reversed(parts) if part in _SPLITS), '')
  held_out = int.from_bytes(hashlib.sha256(person.encode()).digest()[:8], 'big') % 100 < _VAL_PERCENT
  return 'val' if split == 'train' and held_out else split
