"""The index beside a data set's shards: what sampling needs of every clip, and the shards' sizes and digests."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

from data_pipeline import digests
from data_pipeline.errors import DataError

NAME = 'clips.json'
_SHARDS = '*.array_record*'


@dataclasses.dataclass(frozen=True)
class ClipInfo:
  """What can be known about a clip without reading it.

  Attributes:
    clip_id, identity, emotion: as in `datasets.schema.Record`.
    frames: how many.
    valid_frames: how many have landmarks.
    has_audio: whether there is sound.
  """

  clip_id: str
  identity: str
  emotion: str
  frames: int
  valid_frames: int
  has_audio: bool


@dataclasses.dataclass(frozen=True)
class Index:
  """What the index says.

  Attributes:
    clips: split -> its clips in the order of the records.
    shards: file name -> SHA-256.
  """

  clips: Mapping[str, Sequence[ClipInfo]]
  shards: Mapping[str, str]


def write(root: pathlib.Path, clips: Mapping[str, Sequence[ClipInfo]]) -> None:
  """Writes the index of the dataset whose shards lie in `root`; it appears only when it is whole."""
  content = {
    'shards': _digests(root),
    'bytes': _sizes(root),
    'clips': {split: [dataclasses.asdict(info) for info in infos] for split, infos in clips.items()},
  }
  temporary = root / f'.{NAME}.partial'
  temporary.write_text(json.dumps({**content, 'sha256': _digest(content)}, ensure_ascii=False), encoding='utf-8')
  os.replace(temporary, root / NAME)


def read(root: pathlib.Path) -> Index | None:
  """Reads the index in `root`; None where there is none (a dataset of another builder).

  Raises:
    DataError: in one line, if it is damaged or does not belong to the shards beside it.
  """
  path = root / NAME
  if not path.exists():
    return None
  try:
    stored = json.loads(path.read_text(encoding='utf-8'))
    # Who is in a clip decides which examples are drawn. Indexes written by older versions have no digest.
    if (digest := stored.pop('sha256', None)) is not None and digest != _digest(stored):
      raise ValueError('other bytes than were written')
    clips = {split: [ClipInfo(**info) for info in infos] for split, infos in stored['clips'].items()}
    shards, sizes = dict(stored['shards']), dict(stored['bytes'])
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    raise DataError(f'{path}: the index is corrupt or incomplete; run edtalk prepare again') from None
  found = _sizes(root)
  if sizes != found or shards.keys() != found.keys():
    odd = sorted(
      name for name in {*sizes, *found, *shards} if sizes.get(name) != found.get(name) or name not in shards
    )[0]
    raise DataError(
      f'{root / odd}: {found.get(odd, "no")} bytes, expected {sizes.get(odd, "none")} by {NAME}; run '
      'edtalk prepare again'
    )
  return Index(clips, shards)


def fingerprint(root: pathlib.Path) -> str:
  """Returns the digest of all shards in `root`, from the index where there is one. Raises DataError like `read`."""
  stored = read(root)
  shards = stored.shards if stored else _digests(root)
  return hashlib.sha256(json.dumps(shards, sort_keys=True).encode()).hexdigest()


def remove(root: pathlib.Path) -> None:
  """Removes the index, if there is one."""
  (root / NAME).unlink(missing_ok=True)


def _digest(content: Mapping) -> str:
  return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _digests(root: pathlib.Path) -> dict[str, str]:
  return {path.name: digests.of_file(path) for path in sorted(root.glob(_SHARDS))}


def _sizes(root: pathlib.Path) -> dict[str, int]:
  return {path.name: path.stat().st_size for path in sorted(root.glob(_SHARDS))}
