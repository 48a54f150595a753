"""What a data set holds, read from its records and its manifest: what `edtalk data-report` shows."""

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from data_pipeline import cropping, records, thumbnails
from data_pipeline.errors import DataError
from data_pipeline.quality import pictures, synchrony, verdict

_MANIFEST = 'manifest.jsonl'


@dataclasses.dataclass(frozen=True)
class Kept:
  """A clip of the records.

  Attributes:
    clip, split, identity, emotion, frames, has_audio: as in the records.
    measures: `verdict.DIGITS`; {} where they are not known.
  """

  clip: str
  split: str
  identity: str
  emotion: str
  frames: int
  has_audio: bool
  measures: verdict.Measures


@dataclasses.dataclass(frozen=True)
class Rejected:
  """A run of frames, or a video, that gave no clip.

  Attributes:
    video: its name.
    begin_frame, frames: which; 0 frames for a whole video.
    reason: the manifest's.
    measures: `verdict.DIGITS`; {} where they are not known.
    thumbnail: JPEG as base64 text; '' where there is none.
  """

  video: str
  begin_frame: int
  frames: int
  reason: str
  measures: verdict.Measures
  thumbnail: str


@dataclasses.dataclass(frozen=True)
class Survey:
  """A data set.

  Attributes:
    kept: clips in the order of the records.
    rejected: in the order of the manifest.
    shown: clip -> thumbnail of its middle frame, of some clips.
    measured_here: how many clips were measured for this survey, for want of figures in the manifest.
  """

  kept: tuple[Kept, ...]
  rejected: tuple[Rejected, ...]
  shown: dict[str, str]
  measured_here: int


def take(
  folder: str | os.PathLike,
  *,
  show: int = 96,
  measure: int = 200,
  done: Callable[[int, int], None] = lambda count, total: None,
) -> Survey:
  """Surveys a data set.

  Args:
    folder: the `--out` of `edtalk prepare` or `edtalk make-synthetic`.
    show: clips whose thumbnail is read, people in turn.
    measure: clips that are measured now if the manifest has no figures, people in turn; pictures of all their frames
      are decoded.
    done: called with the clips that were read and how many there are to read.

  Raises:
    DataError: in one line, if there are no records, or the manifest is damaged.
  """
  sets = {split: records.Clips(folder, split) for split in records.splits(folder)}
  rows = read_manifest(pathlib.Path(folder))
  known = {row['clip']: _measures(row) for row in rows if row['status'] == 'ok'}
  infos = [(split, number, info) for split, clips in sets.items() for number, info in enumerate(clips.infos)]
  turns = _in_turn([info.identity for _, _, info in infos])
  missing = [k for k in turns if not known.get(infos[k][2].clip_id)][:measure]
  wanted = sorted({*turns[:show], *missing})
  shown = {}
  for count, k in enumerate(wanted, start=1):
    split, number, info = infos[k]
    clip = sets[split][number]
    if k in turns[:show]:
      shown[info.clip_id] = thumbnails.of_jpeg(clip.record.frame_jpeg(len(clip) // 2))
    if k in missing:
      known[info.clip_id] = measure_clip(clip)
    done(count, len(wanted))
  kept = [
    Kept(info.clip_id, split, info.identity, info.emotion, info.frames, info.has_audio, known.get(info.clip_id, {}))
    for split, _, info in infos
  ]
  rejected = [_rejected(row, pathlib.Path(folder)) for row in rows if row['status'] == 'rejected']
  return Survey(tuple(kept), tuple(rejected), shown, len(missing))


def read_manifest(folder: pathlib.Path) -> list[dict]:
  """Returns the lines of the manifest; [] where there is none (rendered clips). Raises DataError if it is damaged."""
  path = folder / _MANIFEST
  if not path.is_file():
    return []
  try:
    rows = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
    return [row for row in rows if row['status'] in ('ok', 'rejected')]
  except (OSError, ValueError, KeyError, TypeError):
    raise DataError(
      f'{path}: corrupt, expected a JSON object with a status in each line; run edtalk prepare again'
    ) from None


def measure_clip(clip: records.Clip) -> verdict.Measures:
  """Measures a clip from its record, as preparation does from the video; `face` is in pixels of the stored frames."""
  points, size = clip.landmarks(), clip.record.size
  box = cropping.crop_box(points, size, size)
  chips = np.stack([pictures.chip(clip.frame(k), box) for k in range(len(clip))])
  offset = synchrony.measure(points, clip.record.waveform)
  return verdict.measure(chips, points, clip.landmarks_valid, clip.record.waveform, offset, 0)


def kinds(rejected: Sequence[Rejected]) -> dict[str, list[Rejected]]:
  """Groups rejections by what their reasons begin with, the most frequent first."""
  groups = collections.defaultdict(list)
  for item in rejected:
    groups[verdict.kind(item.reason)].append(item)
  return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def _measures(row: dict) -> verdict.Measures:
  return {name: row[name] for name in verdict.DIGITS if name in row}


def _rejected(row: dict, folder: pathlib.Path) -> Rejected:
  path = folder / thumbnails.FOLDER / thumbnails.name_of(row['video'], row['begin_frame'])
  picture = thumbnails.of_jpeg(path.read_bytes()) if path.is_file() else ''
  return Rejected(row['video'], row['begin_frame'], row['frames'], row['reason'], _measures(row), picture)


def _in_turn(identities: Sequence[str]) -> list[int]:
  """Returns all positions, one of each person, then a second of each, and so on."""
  seen: collections.Counter[str] = collections.Counter()
  turns = []
  for k, identity in enumerate(identities):
    turns.append((seen[identity], k))
    seen[identity] += 1
  return [k for _, k in sorted(turns)]
