"""Files of `torch.save`, read without PyTorch and without running what they name.

A pickle calls whatever it names. Here only the names of `_Unpickler.find_class` resolve, to functions that build
nothing but descriptions of tensors; any other name is an error. Both formats are read: zip archives (PyTorch 1.6 and
later) and the older sequence of pickles (as Wav2Lip's and torchvision's released files have it).
"""

import argparse
import collections
import functools
import io
import math
import pathlib
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from edtalk_jax.weights.tensors import BFLOAT16, Tensor

ZIP_START = b'PK\x03\x04'
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b'\x80\x02\x8a\x0a' + LEGACY_MAGIC.to_bytes(10, 'little')  # its pickle
# What reading an archive raises where bytes are damaged, beside ValueError.
DAMAGE = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, struct.error, zlib.error)
MOST_AXES = 16
LARGEST_PICKLE = 1 << 26  # bytes; names and shapes of a network of ours take 0.1 MB
DTYPES = {
  'FloatStorage': np.dtype('<f4'),
  'DoubleStorage': np.dtype('<f8'),
  'HalfStorage': np.dtype('<f2'),
  'BFloat16Storage': BFLOAT16,
  'LongStorage': np.dtype('<i8'),
  'IntStorage': np.dtype('<i4'),
  'ShortStorage': np.dtype('<i2'),
  'CharStorage': np.dtype('i1'),
  'ByteStorage': np.dtype('u1'),
  'BoolStorage': np.dtype('?'),
}


class Unreadable(ValueError):
  """What a pickle holds is not what weights are made of."""


class Storage(NamedTuple):
  """A run of numbers in the file, which tensors are views of."""

  dtype: np.dtype
  count: int
  read: Callable[[], bytes]


_Open = Callable[[np.dtype, str, int], Storage]


def read(path: pathlib.Path) -> Any:
  """Returns what was saved, with a `Tensor` in place of every tensor and of every `argparse.Namespace` an empty one.

  Raises:
    ValueError: in one line, if the file is damaged, cut short, or names what is no tensor.
  """
  try:
    with path.open('rb') as file:
      start = file.read(len(LEGACY_START))
      file.seek(0)
      if start.startswith(ZIP_START):
        return _read_archive(path)
      if start == LEGACY_START:
        return _read_legacy(path, file)
  except DAMAGE as error:
    raise ValueError(f'damaged or cut short at {path.stat().st_size} bytes ({error})') from None
  raise ValueError('no file of torch.save')


def _read_archive(path: pathlib.Path) -> Any:
  with zipfile.ZipFile(path) as archive:
    entries = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in entries if name.endswith('/data.pkl')]
    if len(pickles) != 1:
      raise ValueError('no file of torch.save: there is no data.pkl in it')
    root = pickles[0].removesuffix('data.pkl')
    if packed := [name for name, info in entries.items() if info.compress_type != zipfile.ZIP_STORED]:
      raise ValueError(f'{packed[0]} is compressed, which torch.save never does')
    if entries[pickles[0]].file_size > LARGEST_PICKLE:
      raise ValueError(f'data.pkl has {entries[pickles[0]].file_size} bytes, expected at most {LARGEST_PICKLE}')
    if f'{root}byteorder' in entries and archive.read(f'{root}byteorder') != b'little':
      raise ValueError('its numbers are big-endian')

    def storage(dtype: np.dtype, key: str, count: int) -> Storage:
      info = entries.get(f'{root}data/{key}')
      if info is None or info.file_size != count * dtype.itemsize:
        there = 'absent' if info is None else f'{info.file_size} bytes'
        raise Unreadable(f'storage {key!r:.40} is {there}, expected {count * dtype.itemsize} bytes')
      return Storage(dtype, count, functools.partial(_read_entry, path, info))

    return _load(io.BytesIO(archive.read(pickles[0])), storage)


def _read_entry(path: pathlib.Path, info: zipfile.ZipInfo) -> bytes:
  try:
    with zipfile.ZipFile(path) as archive:
      return archive.read(info)  # compares the checksum, too
  except DAMAGE as error:
    raise ValueError(f'damaged ({error})') from None


def _read_legacy(path: pathlib.Path, file: BinaryIO) -> Any:
  """Magic number, protocol, system, the object, keys of its storages; then each storage: its count, its numbers."""
  places: dict[str, int] = {}  # filled below, where the object and with it the sizes are known
  sizes: dict[str, int] = {}

  def storage(dtype: np.dtype, key: str, count: int) -> Storage:
    sizes[key] = count * dtype.itemsize
    return Storage(dtype, count, lambda: _read_at(path, places[key], sizes[key]))

  part = lambda: _load(file, storage)
  part()
  version = part()
  if version != 1001:
    raise ValueError(f'torch.save of protocol {version!r}, expected 1001')
  part()
  saved, keys = part(), part()
  if not isinstance(keys, list) or {*keys} != {*sizes}:
    raise ValueError('damaged: its storages are not those that its tensors name')
  for key in keys:
    file.seek(8, 1)
    places[key] = file.tell()
    file.seek(sizes[key], 1)
  if file.tell() > path.stat().st_size:
    raise ValueError(f'cut short: {path.stat().st_size} bytes, expected {file.tell()}')
  return saved


def _read_at(path: pathlib.Path, place: int, size: int) -> bytes:
  with path.open('rb') as file:
    file.seek(place)
    return file.read(size)


def _load(file: BinaryIO, storage: '_Open') -> Any:
  """Reads one pickle, once all its operations have been seen to be of protocol 2, which torch.save has always had."""
  try:
    start = file.tell()
    for operation, _, _ in pickletools.genops(file):
      if operation.proto > 2:
        raise Unreadable(f'a pickle of protocol {operation.proto}, expected 2')
    file.seek(start)
    return _Unpickler(file, storage).load()
  except Unreadable:
    raise
  except Exception as error:  # damaged pickles raise nearly anything
    text = ' '.join(str(error).split())[:200] or type(error).__name__
    raise ValueError(f'damaged or no file of torch.save ({text})') from None


class _Unpickler(pickle.Unpickler):
  """Builds dictionaries, lists, numbers, text and descriptions of tensors, and nothing else.

  What names resolve to is made anew for every file, as a pickle can set attributes of what it has.
  """

  def __init__(self, file: BinaryIO, storage: _Open):
    super().__init__(file)
    self._storage = storage
    names: dict[tuple[str, str], Any] = {
      ('collections', 'OrderedDict'): collections.OrderedDict,
      ('argparse', 'Namespace'): type('Namespace', (argparse.Namespace,), {'__setstate__': lambda self, state: None}),
      ('torch', 'Size'): functools.partial(tuple),
      ('torch._utils', '_rebuild_tensor'): functools.partial(_tensor),
      ('torch._utils', '_rebuild_tensor_v2'): functools.partial(_tensor),
      ('torch._utils', '_rebuild_parameter'): functools.partial(_first),
    }
    self._names = names | {('torch', name): name for name in DTYPES}

  def find_class(self, module: str, name: str) -> Any:
    """Returns what a name stands for. Raises ValueError for any that no weights need."""
    if (module, name) not in self._names:
      raise Unreadable(f'refused: it would run {module}.{name}, which no weights need')
    return self._names[module, name]

  def persistent_load(self, pid: Any) -> Storage:
    """Returns a storage: ('storage', type, key, device, count), in old files with a view of it, always None."""
    kind, name, key, _, count, *view = pid
    if kind != 'storage' or name not in DTYPES or not isinstance(key, str) or not _is_size(count) or any(view):
      raise Unreadable('damaged or no file of torch.save: a storage that is none')
    return self._storage(DTYPES[name], key, count)


def _is_size(number: Any) -> bool:
  return type(number) is int and 0 <= number < 1 << 48


def _first(data: Any, *others: Any) -> Any:
  """A parameter is its tensor."""
  return data


def _tensor(storage: Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *others: Any) -> Tensor:
  """A view of a storage; gradient flags and hooks are left unread."""
  shape, stride = tuple(shape), tuple(stride)
  if len(shape) > MOST_AXES or len(stride) != len(shape) or not all(map(_is_size, (offset, *shape, *stride))):
    raise Unreadable('a tensor whose shape is none')
  count = math.prod(shape)
  last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
  # Steps of 0 could make petabytes of a few bytes; weights have none.
  if (count and last >= storage.count) or count > storage.count:
    raise Unreadable(f'a tensor of shape {shape} reaches beyond its storage of {storage.count} numbers')

  def values() -> np.ndarray:
    data = storage.read()
    if len(data) != storage.count * storage.dtype.itemsize:
      raise ValueError(f'cut short: {len(data)} bytes of a tensor of shape {shape}')
    flat = np.frombuffer(data, storage.dtype)
    steps = [step * storage.dtype.itemsize for step in stride]
    return (
      np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False)
      if count
      else np.empty(shape, storage.dtype)
    )

  return Tensor(shape, storage.dtype, values)
