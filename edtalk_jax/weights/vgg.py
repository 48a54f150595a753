"""VGG19 weights from torchvision's file. Without one, `networks.VGG19` draws random features of its own."""

import json
import pathlib
import pickle
import zipfile
from typing import Any

import numpy as np

from edtalk_jax.weights.official import from_official


def load_vgg19(path: str | pathlib.Path) -> dict[str, Any]:
  """Reads VGG19's convolutions up to relu5_1.

  Args:
    path: torchvision's `vgg19-*.pth` (needs the extra `[torch]`), or an `.npz` or `.safetensors` file with the same
      names ('features.0.weight', ...), which needs no PyTorch.

  Returns:
    Variables of `VGG19(width=1)`.

  Raises:
    ValueError: if the file is missing, of another kind, or does not hold VGG19.
  """
  path = pathlib.Path(path)
  readers = {'.npz': _read_npz, '.safetensors': _read_safetensors, '.pth': _read_torch, '.pt': _read_torch}
  if path.suffix not in readers:
    raise ValueError(f'VGG19 weights must be a {", ".join(readers)} file, got {path}')
  if not path.is_file():
    raise ValueError(f'VGG19 weights: no file {path}')
  try:
    arrays = readers[path.suffix](path)
  except ImportError:
    raise ValueError(f"VGG19 weights: {path} needs PyTorch (pip install 'edtalk-jax[torch]') or an .npz copy") from None
  except (ValueError, OSError, EOFError, KeyError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
    raise ValueError(f'VGG19 weights: {path} is damaged or no {path.suffix} file ({error})') from error
  config, variables = from_official(arrays, 'vgg19')
  if config.width != 1:
    raise ValueError(f'VGG19 weights in {path} have {config.width:g} times the channels of VGG19')
  return variables


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
  with path.open('rb') as file, np.load(file, allow_pickle=False) as arrays:
    return dict(arrays)


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the format itself: 8 bytes of header length, a JSON header of dtypes, shapes and offsets, then the data."""
  data = path.read_bytes()
  length = int.from_bytes(data[:8], 'little')
  header, body = json.loads(data[8:8 + length]), data[8 + length:]
  header.pop('__metadata__', None)
  arrays = {}
  for name, item in header.items():
    start, end = item['data_offsets']
    kind = {'F64': '<f8', 'F32': '<f4', 'F16': '<f2'}[item['dtype']]
    arrays[name] = np.frombuffer(body[start:end], kind).reshape(item['shape'])
  return arrays


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
  import torch  # an extra: everything else of the project runs without it

  state = torch.load(path, map_location='cpu', weights_only=True)
  return {name: tensor.float().numpy() for name, tensor in state.items()}
