"""Finished work of a preparation, kept on disk so that a job can be stopped at any moment.

Each video has one folder named by what its result depends on: content, settings, given landmarks. It is written under a
temporary name and renamed when whole.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipeline.datasets.schema import join_jpeg
from data_pipeline.prepare import PreparedClip

_OUTCOME = 'outcome.json'


def file_digest(path: str | os.PathLike) -> str:
  """Returns the SHA-256 of a file in hexadecimal."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


class Entry:
  """The folder of one video."""

  def __init__(self, root: pathlib.Path, video_id: str, digest: str):
    readable = re.sub(r'[^\w#.-]+', '_', video_id)[-60:]
    self.folder = root / f'{readable}-{digest[:20]}'
    self._partial = root / f'.{readable}-{digest[:20]}.partial'

  @property
  def done(self) -> bool:
    """Whether the video has been dealt with."""
    return (self.folder / _OUTCOME).is_file()

  def begin(self) -> None:
    """Starts afresh, dropping what an interrupted run left."""
    shutil.rmtree(self._partial, ignore_errors=True)
    self._partial.mkdir(parents=True)

  def add(self, number: int, clip: PreparedClip) -> None:
    """Writes a clip under its number."""
    arrays = {f.name: getattr(clip, f.name) for f in dataclasses.fields(clip)}
    frames = arrays.pop('frames')
    arrays['notes'] = np.array(clip.notes, np.str_)
    arrays['jpeg'], arrays['jpeg_ends'] = join_jpeg(frames)
    np.savez(self._partial / f'{number:05d}.npz', **arrays)

  def finish(self, outcome: dict[str, Any]) -> None:
    """Makes the entry visible."""
    (self._partial / _OUTCOME).write_text(json.dumps(outcome, ensure_ascii=False), encoding='utf-8')
    shutil.rmtree(self.folder, ignore_errors=True)
    os.replace(self._partial, self.folder)

  def outcome(self) -> dict[str, Any]:
    """Returns what `finish` was given."""
    return json.loads((self.folder / _OUTCOME).read_text(encoding='utf-8'))

  def clips(self) -> Iterator[tuple[int, PreparedClip]]:
    """Yields (number, clip), one at a time."""
    for path in sorted(self.folder.glob('*.npz')):
      with np.load(path, allow_pickle=False) as arrays:
        values = {name: arrays[name] for name in arrays.files}
      data, ends = values.pop('jpeg').tobytes(), values.pop('jpeg_ends')
      values['frames'] = [data[a:b] for a, b in zip(np.r_[0, ends[:-1]], ends, strict=True)]
      values['notes'] = tuple(str(note) for note in values['notes'])
      values['begin_frame'], values['has_audio'] = int(values['begin_frame']), bool(values['has_audio'])
      yield int(path.stem), PreparedClip(**values)
