"""Finished work of a preparation, kept on disk so that a job can be stopped at any moment.

Each video has one folder named by what its result depends on: content, settings, given landmarks. It is written under a
temporary name and renamed when whole. A damaged folder counts as missing.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipeline.datasets.schema import join_jpeg
from data_pipeline.errors import DataError
from data_pipeline.prepare import PreparedClip, RejectedClip

_OUTCOME = 'outcome.json'
# Fields of a clip that records do not have: the outcome has them.
NOT_STORED = ('frames', 'notes', 'measures', 'picture_hash')


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of a video.

  Attributes:
    clips: the number of each clip, in order, and what the manifest says of it: begin_frame, frames, crop_box,
      has_audio, landmarks_missing, measures, picture_hash, reason (the notes).
    rejected: the runs of frames that gave no clip.
    retry: whether the next job tries again, because something else than the video may be the cause.
  """

  clips: tuple[dict[str, Any], ...] = ()
  rejected: tuple[RejectedClip, ...] = ()
  retry: bool = False


def rejection(reason: str, *, thumbnail: str = '', retry: bool = False) -> Outcome:
  """Returns the outcome of a video that gives no clip."""
  return Outcome(rejected=(RejectedClip(0, 0, reason, thumbnail=thumbnail),), retry=retry)


class Entry:
  """The folder of one video."""

  def __init__(self, root: pathlib.Path, video_id: str, digest: str):
    readable = re.sub(r'[^\w#.-]+', '_', video_id)[-60:]
    self.folder = root / f'{readable}-{digest[:20]}'
    self._partial = root / f'.{readable}-{digest[:20]}.partial'

  @property
  def done(self) -> bool:
    """Whether the video has been dealt with for good, and all that was kept of it is still there."""
    try:
      return not self.outcome().retry
    except DataError:
      return False

  def begin(self) -> None:
    """Starts afresh, dropping what an interrupted run left."""
    shutil.rmtree(self._partial, ignore_errors=True)
    self._partial.mkdir(parents=True)

  def add(self, clip: PreparedClip) -> dict[str, Any]:
    """Writes a clip and returns what `Outcome.clips` says of it."""
    arrays = {f.name: getattr(clip, f.name) for f in dataclasses.fields(clip) if f.name not in NOT_STORED}
    arrays['jpeg'], arrays['jpeg_ends'] = join_jpeg(clip.frames)
    np.savez(self._partial / f'{clip.number:05d}.npz', **arrays)
    return {
      'number': clip.number,
      'begin_frame': clip.begin_frame,
      'frames': len(clip.frames),
      'crop_box': [int(value) for value in clip.crop_box],
      'has_audio': clip.has_audio,
      'landmarks_missing': int((clip.landmarks_valid == 0).sum()),
      **clip.measures,
      'picture_hash': f'{clip.picture_hash:016x}',
      'reason': '; '.join(clip.notes),
    }

  def finish(self, outcome: Outcome) -> None:
    """Makes the entry visible."""
    content = dataclasses.asdict(outcome) | {'bytes': _sizes(self._partial)}
    (self._partial / _OUTCOME).write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')
    shutil.rmtree(self.folder, ignore_errors=True)
    os.replace(self._partial, self.folder)

  def outcome(self) -> Outcome:
    """Returns what `finish` was given. Raises DataError if the entry is missing or damaged."""
    try:
      content = json.loads((self.folder / _OUTCOME).read_text(encoding='utf-8'))
      rejected = tuple(RejectedClip(**run) for run in content['rejected'])
      outcome, sizes = Outcome(tuple(content['clips']), rejected, content['retry']), content['bytes']
    except (OSError, ValueError, KeyError, TypeError):
      raise DataError(f'{self.folder}: missing or damaged; run edtalk prepare again') from None
    if sizes != _sizes(self.folder):
      raise DataError(f'{self.folder}: a clip is missing or damaged; run edtalk prepare again')
    return outcome

  def clips(self) -> Iterator[PreparedClip]:
    """Yields the clips, one at a time. Raises DataError at a damaged one, and drops the entry."""
    for path in sorted(self.folder.glob('*.npz')):
      with self._dropped_if_damaged(path):
        clip = _load(path)
      yield clip

  def peek(self, number: int, field: str) -> np.ndarray:
    """Returns one array of the clip of that number. Raises DataError if the clip is missing or damaged."""
    path = self.folder / f'{number:05d}.npz'
    with self._dropped_if_damaged(path), np.load(path, allow_pickle=False) as arrays:
      return arrays[field]

  @contextlib.contextmanager
  def _dropped_if_damaged(self, path: pathlib.Path) -> Iterator[None]:
    try:
      yield
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
      shutil.rmtree(self.folder, ignore_errors=True)
      raise DataError(
        f'{path}: damaged ({type(error).__name__}); run edtalk prepare again, which prepares this video anew'
      ) from None


def _load(path: pathlib.Path) -> PreparedClip:
  with np.load(path, allow_pickle=False) as arrays:
    values = {name: arrays[name] for name in arrays.files}
  data, ends = values.pop('jpeg').tobytes(), values.pop('jpeg_ends')
  values['frames'] = [data[a:b] for a, b in zip(np.r_[0, ends[:-1]], ends, strict=True)]
  values |= {
    'number': int(values['number']),
    'begin_frame': int(values['begin_frame']),
    'has_audio': bool(values['has_audio']),
  }
  return PreparedClip(**values)


def _sizes(folder: pathlib.Path) -> dict[str, int]:
  return {path.name: path.stat().st_size for path in sorted(folder.glob('*.npz'))}
