"""Writes files that `torch.load(weights_only=True)` reads, without PyTorch."""

import pathlib
import struct
import zipfile
from collections.abc import Mapping

import numpy as np

from edtalk_jax.weights.torch_file import DTYPES

Arrays = Mapping[str, np.ndarray]
ALIGNMENT = 64  # bytes, of the numbers in the file, as torch.save has it


def write(path: pathlib.Path, groups: Mapping[str, Arrays]) -> None:
  """Writes {group: {name: tensor}}, such as {'gen': state dict}; `path` is not renamed.

  The same arrays give the same bytes.
  """
  names = {dtype: name for name, dtype in DTYPES.items()}
  arrays = [np.asarray(array) for group in groups.values() for array in group.values()]
  keys = iter(range(len(arrays)))
  pickled = (
    b'\x80\x02'
    + _dictionary(
      {
        group: _dictionary({name: _tensor(array, names[array.dtype], str(next(keys))) for name, array in state.items()})
        for group, state in groups.items()
      }
    )
    + b'.'
  )
  root = path.stem
  with path.open('wb') as file, zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as archive:
    _add(archive, f'{root}/data.pkl', pickled)
    _add(archive, f'{root}/byteorder', b'little')
    for key, array in enumerate(arrays):
      _add(archive, f'{root}/data/{key}', np.ascontiguousarray(array).tobytes())
    _add(archive, f'{root}/version', b'3\n')


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
  """Adds an entry whose data begin at a multiple of ALIGNMENT: the space before is an extra field of the header."""
  entry = zipfile.ZipInfo(name)  # of 1980: no clock in the file
  begin = archive.fp.tell() + 30 + len(name.encode()) + 4
  padding = -begin % ALIGNMENT
  entry.extra = struct.pack('<2sH', b'FB', padding) + bytes(padding)
  archive.writestr(entry, data)


# Pickle's opcodes, as pickletools documents them: the names of PyTorch cannot be pickled where there is no PyTorch.


def _dictionary(items: Mapping[str, bytes]) -> bytes:
  return b'}(' + b''.join(_text(name) + value for name, value in items.items()) + b'u'


def _tensor(array: np.ndarray, storage: str, key: str) -> bytes:
  """`torch._utils._rebuild_tensor_v2(storage, offset 0, shape, strides, requires_grad False, no hooks)`."""
  steps = [step // array.itemsize for step in np.empty(array.shape, array.dtype).strides]
  pid = _tuple(_text('storage'), _global('torch', storage), _text(key), _text('cpu'), _number(array.size)) + b'Q'
  hooks = _global('collections', 'OrderedDict') + b')R'
  sizes = (_tuple(*map(_number, numbers)) for numbers in (array.shape, steps))
  return _global('torch._utils', '_rebuild_tensor_v2') + _tuple(pid, _number(0), *sizes, b'\x89', hooks) + b'R'


def _global(module: str, name: str) -> bytes:
  return f'c{module}\n{name}\n'.encode()


def _tuple(*items: bytes) -> bytes:
  return b'(' + b''.join(items) + b't'


def _text(text: str) -> bytes:
  data = text.encode()
  return b'X' + struct.pack('<I', len(data)) + data


def _number(number: int) -> bytes:
  return b'J' + struct.pack('<i', number)
