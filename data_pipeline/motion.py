"""Motion weights of every frame of a data set, as one trained model reads them, kept beside the records.

`edtalk_jax.training.extraction` writes them, samplers read them here, without JAX. In `RECORDS/motion/<first 16 digits
of the checkpoint's fingerprint>/<split>/` there is `<bank>.npy`, float32[frames of all clips, size], for each bank, and
`index.json`. The folder of a split appears only when it is whole. Weights of another checkpoint lie in another folder.
"""

import hashlib
import json
import os
import pathlib
import shutil
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipeline import digests
from data_pipeline.errors import CorruptRecord, DataError

FOLDER = 'motion'  # in the folder of the records
INDEX = 'index.json'
AGAIN = 'delete this folder; it is made again'


def folder_of(records: str | os.PathLike, fingerprint: str) -> pathlib.Path:
  """Where the weights lie that the checkpoint of `fingerprint` gives to a data set."""
  return pathlib.Path(records) / FOLDER / fingerprint[:16]


def write(
  folder: pathlib.Path,
  split: str,
  clips: Sequence[tuple[str, int]],
  weights: Mapping[str, np.ndarray],
  about: Mapping[str, Any],
) -> None:
  """Writes the weights of one split, whole or not at all, in the place of those that may be there.

  Of several processes that write the same at once, here or on machines that share the folder, one's stay.

  Args:
    folder: as `folder_of` gives it.
    split: of the records.
    clips: id and number of frames of every clip, in order.
    weights: bank name -> float32[frames of all clips, size].
    about: JSON values that say where they come from; `records` is the fingerprint of the data set.
  """
  # A process' number would not do: containers that share the folder have the same ones.
  partial = folder / f'.{split}-{uuid.uuid4().hex}.partial'
  partial.mkdir(parents=True)
  for bank, values in weights.items():
    np.save(partial / f'{bank}.npy', np.asarray(values, np.float32))
  files = {path.name: [path.stat().st_size, digests.of_file(path)] for path in sorted(partial.glob('*.npy'))}
  content = {'about': dict(about), 'clips': [list(clip) for clip in clips], 'files': files}
  text = json.dumps({**content, 'sha256': _digest(content)}, ensure_ascii=False)
  (partial / INDEX).write_text(text, encoding='utf-8')
  shutil.rmtree(folder / split, ignore_errors=True)
  try:
    os.replace(partial, folder / split)
  except OSError:  # it is there again
    shutil.rmtree(partial)
    if not (folder / split / INDEX).is_file():
      raise


class Motion:
  """The motion weights of one split, read from the disk where they are asked for.

  Attributes:
    about: what `write` was told.
    sizes: bank name -> number of weights.

  Raises:
    DataError: in one line, if there are none, or they are not what was written. Files are compared by their sizes,
      and by their digests in `verify`.
  """

  def __init__(self, folder: str | os.PathLike, split: str):
    self._folder = pathlib.Path(folder) / split
    self._content = _read_index(self._folder)
    self.about: dict[str, Any] = self._content['about']
    self._arrays = {
      name.removesuffix('.npy'): self._open(name, size) for name, (size, _) in self._content['files'].items()
    }
    self.sizes = {bank: array.shape[1] for bank, array in self._arrays.items()}
    ends = np.cumsum([frames for _, frames in self._content['clips']]).tolist()
    self._rows = {
      clip: slice(end - frames, end) for (clip, frames), end in zip(self._content['clips'], ends, strict=True)
    }
    for bank, array in self._arrays.items():
      if len(array) != (ends[-1] if ends else 0):
        raise DataError(f'{self._folder / bank}.npy: {len(array)} frames, the index has {ends[-1]}; {AGAIN}')

  def __contains__(self, clip_id: str) -> bool:
    return clip_id in self._rows

  def weights(self, clip_id: str) -> dict[str, np.ndarray]:
    """Returns bank name -> float32[frames, size] of a clip. Raises CorruptRecord if its pictures could not be read."""
    if clip_id not in self._rows:
      raise CorruptRecord(f'{self._folder}: no motion weights of clip {clip_id}', AGAIN)
    rows = self._rows[clip_id]
    return {bank: np.array(array[rows]) for bank, array in self._arrays.items()}

  def verify(self) -> None:
    """Reads every byte and compares. Raises DataError at a difference."""
    for name, (_, digest) in self._content['files'].items():
      if digests.of_file(self._folder / name) != digest:
        raise DataError(f'{self._folder / name}: other bytes than were written; {AGAIN}')

  def _open(self, name: str, size: int) -> np.ndarray:
    path = self._folder / name
    try:
      if (found := path.stat().st_size) != size:
        raise DataError(f'{path}: {found} bytes, expected {size}; {AGAIN}')
      array = np.load(path, mmap_mode='r', allow_pickle=False)
    except FileNotFoundError:
      raise DataError(f'{path}: missing; {AGAIN}') from None
    except ValueError as error:
      if isinstance(error, DataError):
        raise
      raise DataError(f'{path}: not an array ({str(error).splitlines()[0]}); {AGAIN}') from None
    if array.ndim != 2 or array.dtype != np.float32:
      raise DataError(f'{path}: {array.dtype}{list(array.shape)}, expected float32[frames, size]; {AGAIN}')
    return array


def _read_index(folder: pathlib.Path) -> dict[str, Any]:
  path = folder / INDEX
  try:
    content = json.loads(path.read_text(encoding='utf-8'))
    digest = content.pop('sha256')
  except (FileNotFoundError, NotADirectoryError):
    raise DataError(f'{folder}: no motion weights here; edtalk extract-motion makes them') from None
  except (ValueError, KeyError, AttributeError):
    raise DataError(f'{path}: not an index of motion weights; {AGAIN}') from None
  if digest != _digest(content):
    raise DataError(f'{path}: other bytes than were written; {AGAIN}')
  return content


def _digest(content: Mapping[str, Any]) -> str:
  return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
