"""The safetensors format: 8 bytes of header length, a JSON header of types, shapes and places, then the numbers."""

import functools
import json
import math
import pathlib
from collections.abc import Mapping

import numpy as np

from edtalk_jax.weights.tensors import BFLOAT16, Tensor

DTYPES = {
  'F64': np.dtype('<f8'),
  'F32': np.dtype('<f4'),
  'F16': np.dtype('<f2'),
  'BF16': BFLOAT16,
  'I64': np.dtype('<i8'),
  'I32': np.dtype('<i4'),
  'I16': np.dtype('<i2'),
  'I8': np.dtype('i1'),
  'U8': np.dtype('u1'),
  'BOOL': np.dtype('?'),
}
LARGEST_HEADER = 100_000_000  # bytes, of the format's own definition


def read(path: pathlib.Path) -> tuple[dict[str, Tensor], dict[str, str]]:
  """Returns the tensors by name, and the file's metadata.

  Raises:
    ValueError: in one line, if the file is damaged or cut short.
  """
  size = path.stat().st_size
  with path.open('rb') as file:
    length = int.from_bytes(file.read(8), 'little')
    if length > min(size - 8, LARGEST_HEADER):
      raise ValueError(f'no safetensors file, or cut short at {size} bytes')
    try:
      header = json.loads(file.read(length))
      metadata = dict(header.pop('__metadata__', {}))
      tensors = {name: _tensor(path, size, 8 + length, **item) for name, item in header.items()}
    except (KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError, UnicodeDecodeError) as error:
      raise ValueError(f'its header is no safetensors header ({" ".join(str(error).split())})') from None
  return tensors, metadata


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
  """Writes arrays by name, in their order; `path` is not renamed."""
  names = {dtype: name for name, dtype in DTYPES.items()}
  header, end = {'__metadata__': dict(metadata)}, 0
  for name, array in arrays.items():
    header[name] = {'dtype': names[array.dtype], 'shape': array.shape, 'data_offsets': [end, end + array.nbytes]}
    end += array.nbytes
  text = json.dumps(header).encode()
  text += b' ' * (-len(text) % 8)
  with path.open('wb') as file:
    file.write(len(text).to_bytes(8, 'little') + text)
    for array in arrays.values():
      file.write(np.ascontiguousarray(array).tobytes())


def _tensor(
  path: pathlib.Path, size: int, start: int, *, dtype: str, shape: list[int], data_offsets: list[int]
) -> Tensor:
  first, end = data_offsets
  kind = DTYPES[dtype]
  if end - first != math.prod(shape) * kind.itemsize or first < 0 or min(shape, default=0) < 0:
    raise ValueError(f'a tensor of shape {shape} has {end - first} bytes')
  if start + end > size:
    raise ValueError(f'cut short: {size} bytes, expected at least {start + end}')
  return Tensor(tuple(shape), kind, functools.partial(_read_at, path, start + first, end - first, kind, shape))


def _read_at(path: pathlib.Path, place: int, size: int, dtype: np.dtype, shape: list[int]) -> np.ndarray:
  with path.open('rb') as file:
    file.seek(place)
    data = file.read(size)
  if len(data) != size:
    raise ValueError(f'cut short: {len(data)} of {size} bytes of a tensor of shape {shape}')
  return np.frombuffer(data, dtype).reshape(shape)
