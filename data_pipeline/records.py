"""Prepared clips, read lazily: `Clips(folder, split)[i].frame(j, size)`.

Works on what `edtalk prepare --out FOLDER` wrote, and on any TFDS dataset with the fields of `datasets.schema`.
"""

import functools
import io
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from data_pipeline import index
from data_pipeline.datasets import schema
from data_pipeline.errors import CorruptRecord, DataError
from data_pipeline.index import ClipInfo


class Clip:
  """One clip in memory; pictures are decoded when asked for.

  Attributes:
    record: the stored fields, see `datasets.schema.Record`.
  """

  def __init__(self, record: schema.Record):
    self.record = record

  def __len__(self) -> int:
    return len(self.record.jpeg_ends)

  @property
  def clip_id(self) -> str:
    """Unique name."""
    return self.record.clip_id

  @property
  def nbytes(self) -> int:
    """Bytes of memory that the clip takes."""
    return sum(getattr(self.record, name).nbytes for name in ('jpeg', 'landmarks', 'waveform', 'mel'))

  @property
  def identity(self) -> str:
    """The person."""
    return self.record.identity

  @property
  def emotion(self) -> str:
    """Emotion word, '' if unknown."""
    return self.record.emotion

  @property
  def waveform(self) -> np.ndarray:
    """float32[samples] in [-1, 1], 16 kHz; empty without audio."""
    return self.record.waveform.astype(np.float32) / 32768

  @property
  def mel(self) -> np.ndarray:
    """float32[columns, 80]; empty without audio."""
    return self.record.mel

  @property
  def factors(self) -> dict[str, np.ndarray] | None:
    """What each frame was rendered from, name -> float32[n], see `synthetic.factors`; None for real video."""
    truth = self.record.truth
    return None if truth is None else dict(zip(truth.factor_names, truth.factors.T, strict=True))

  def mask(self, index: int) -> np.ndarray:
    """Returns the labels of frame `index`, uint8[size, size] as stored. Raises ValueError for real video."""
    return np.asarray(Image.open(io.BytesIO(self.record.mask_png(index))))

  @property
  def landmarks_valid(self) -> np.ndarray:
    """bool[n]: frames in which the landmarks were found."""
    return self.record.landmarks_valid.astype(bool)

  def landmarks(self, size: int | None = None) -> np.ndarray:
    """Returns float32[n, 68, 2] in pixels of frames of side `size` (default: as stored)."""
    return self._scaled(self.record.landmarks, size)

  def face_boxes(self, size: int | None = None) -> np.ndarray:
    """Returns float32[n, 4] (left, top, right, bottom) in pixels of frames of side `size`."""
    return self._scaled(self.record.face_boxes, size)

  def _scaled(self, points: np.ndarray, size: int | None) -> np.ndarray:
    # Edges map to edges; a pixel's centre is half a pixel from its edge.
    scale = 1.0 if size is None else size / self.record.size
    return ((points + 0.5) * scale - 0.5).astype(np.float32) if scale != 1 else points

  def frame(self, index: int, size: int | None = None) -> np.ndarray:
    """Returns frame `index` as uint8[size, size, 3].

    Smaller sizes are decoded by the JPEG decoder at no less than twice the size, then resized bilinearly with
    antialiasing like the official transform (mean difference from decoding in full: about half a grey level).
    """
    size = size or self.record.size
    try:
      image = Image.open(io.BytesIO(self.record.frame_jpeg(index)))
      if self.record.size > 2 * size:
        image.draft('RGB', (2 * size, 2 * size))
      if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
      return np.asarray(image.convert('RGB') if image.mode != 'RGB' else image)
    except (OSError, ValueError, SyntaxError) as error:
      raise CorruptRecord(f'clip {self.clip_id}, frame {index}: corrupt picture ({error})') from None

  def frames(self, size: int | None = None) -> np.ndarray:
    """Returns all frames, uint8[n, size, size, 3]."""
    return np.stack([self.frame(k, size) for k in range(len(self))])


class Clips:
  """The clips of one split, in the order of the records.

  Args:
    folder: the `--out` of `edtalk prepare`, or a TFDS dataset's own folder.
    split: train, val or test.

  Raises:
    DataError: in one line, if there are no records or no such split.
  """

  def __init__(self, folder: str | os.PathLike, split: str):
    self.folder = find_dataset(folder)
    self.split = split
    builder = _builder(self.folder)
    if split not in builder.info.splits:
      found = ', '.join(builder.info.splits) or 'none'
      raise DataError(f'{folder}: no clips in the split {split!r}; the data set has {found}')
    self._shards = [pathlib.Path(p) for p in builder.info.splits[split].filepaths]
    self._lengths = builder.info.splits[split].shard_lengths
    for shard in self._shards:
      if not shard.is_file():
        raise DataError(f'{shard}: this part of the records is missing; run edtalk prepare again')
    self._index = index.read(self.folder)
    if self._index and len(self._index.clips.get(split, ())) != len(self):
      raise DataError(
        f'{self.folder / index.NAME}: {len(self._index.clips.get(split, ()))} clips in the split '
        f'{split!r}, the records hold {len(self)}; run edtalk prepare again'
      )
    self._source = self._guard(0, lambda: builder.as_data_source(split=split))

  def __len__(self) -> int:
    return sum(self._lengths)

  def __getitem__(self, number: int) -> Clip:
    if not 0 <= number < len(self):
      raise IndexError(f'clip {number} of {len(self)}')
    return Clip(self._guard(number, lambda: schema.from_example(self._source[number])))

  def __iter__(self) -> Iterator[Clip]:
    return (self[k] for k in range(len(self)))

  def _guard(self, number: int, read):
    try:
      return read()
    except Exception as error:  # ArrayRecord, protobuf and TFDS raise what they like; the user needs to know where
      shard, reason = self._shard_of(number), _one_line(error)
      # ArrayRecord has a checksum of every record, and speaks of the disk's faults by the same type of error.
      if isinstance(error, (OSError, MemoryError)) or (type(error) is RuntimeError and 'Corrupted' not in str(error)):
        raise DataError(f'{shard}: record {number} of split {self.split!r} cannot be read ({reason})') from error
      clip = f'clip {self._index.clips[self.split][number].clip_id}, ' if self._index else ''
      raise CorruptRecord(
        f'{shard}: record {number} of split {self.split!r} is corrupt ({clip}{reason})',
        'delete this file and run edtalk prepare again',
      ) from None

  def _shard_of(self, number: int) -> pathlib.Path:
    ends = np.cumsum(self._lengths)
    return self._shards[min(int(np.searchsorted(ends, number, side='right')), len(self._shards) - 1)]

  @functools.cached_property
  def infos(self) -> list[ClipInfo]:
    """One `ClipInfo` per clip, in order; from the index beside the records, or by reading them all."""
    return list(self._index.clips[self.split]) if self._index else [_info(clip) for clip in self]

  @property
  def fingerprint(self) -> str:
    """Digest of the whole data set (all splits): hexadecimal, 64 digits. Equal records give equal fingerprints."""
    return fingerprint(self.folder)


def _info(clip: Clip) -> ClipInfo:
  return ClipInfo(
    clip.clip_id, clip.identity, clip.emotion, len(clip), int(clip.landmarks_valid.sum()), clip.record.has_audio
  )


def find_dataset(folder: str | os.PathLike) -> pathlib.Path:
  """Returns the folder below `folder` that holds a TFDS dataset.

  Raises:
    DataError: if there is none, or more than one.
  """
  root = pathlib.Path(folder)
  if not root.is_dir():
    raise DataError(f'{root}: no such folder; edtalk prepare VIDEOS --out {root} makes one')
  if (root / 'dataset_info.json').is_file():
    return root
  found = sorted(
    {
      p.parent
      for pattern in ('*', '*/*')
      for p in root.glob(f'{pattern}/dataset_info.json')
      if not any(part.startswith('.') for part in p.relative_to(root).parts)
    }
  )
  if len(found) != 1:
    names = ', '.join(str(p.relative_to(root)) for p in found) or 'none'
    raise DataError(f'{root}: expected the records of one data set, found {names}; edtalk prepare VIDEOS --out {root}')
  return found[0]


def splits(folder: str | os.PathLike) -> tuple[str, ...]:
  """Returns the names of the splits of a data set. Raises DataError if there is none in `folder`."""
  return tuple(sorted(_builder(find_dataset(folder)).info.splits))


def _builder(folder: pathlib.Path) -> tfds.core.DatasetBuilder:
  try:
    return tfds.builder_from_directory(folder)
  except Exception as error:  # TFDS raises many kinds for a damaged description
    raise DataError(
      f'{folder}: the records cannot be read ({_one_line(error)}); delete this folder and run edtalk prepare again'
    ) from None


def write_index(folder: str | os.PathLike) -> None:
  """Reads all records once and writes beside them what sampling needs, and the digests of the shards."""
  root = find_dataset(folder)
  index.remove(root)
  index.write(root, {split: [_info(clip) for clip in Clips(root, split)] for split in splits(root)})


def fingerprint(folder: str | os.PathLike) -> str:
  """Returns the digest of a data set, from its index where there is one. Raises DataError if that is damaged."""
  return index.fingerprint(find_dataset(folder))


def _one_line(error: Exception) -> str:
  return f'{type(error).__name__}: {error}'.splitlines()[0][:200]
