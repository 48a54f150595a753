"""Weights files of any kind: their tensors, in the groups in which the official trainers save them."""

import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edtalk_jax.weights import safetensors_file, torch_file
from edtalk_jax.weights.tensors import Tensor, Tensors

KINDS = '.pt, .pth, .safetensors or .npz'


class Content(NamedTuple):
  """What a file holds.

  Attributes:
    groups: name -> state dict; a file that is one state dict has one group, ''.
    others: names of what is no state dict, such as optimiser moments.
  """

  groups: dict[str, Tensors]
  others: tuple[str, ...]


def read(path: str | pathlib.Path, what: str, within: Sequence[str] = ()) -> Tensors:
  """Opens the one state dict of a file.

  Args:
    path: of a file of any of KINDS; none of them needs PyTorch.
    what: it should hold, for messages.
    within: names of groups in which the tensors may lie, where the file has groups; the first that is there counts.

  Raises:
    ValueError: in one line, if the file is missing, damaged or of another kind.
  """
  try:
    groups = contents(pathlib.Path(path)).groups
    found = [groups[name] for name in ('', *within) if name in groups]
    if not found:
      raise ValueError(
        f'it holds {", ".join(groups) or "no tensors"}, expected {" or ".join(within) or "a state dict"}'
      )
  except OSError as error:
    raise ValueError(f'{what}: {path}: {error.strerror}') from None
  except ValueError as error:
    raise ValueError(f'{what}: {path}: {error}') from None
  return found[0]


def contents(path: pathlib.Path) -> Content:
  """Opens a weights file; which kind it is, its first bytes say. Values are read when they are wanted.

  Raises:
    ValueError: in one line without the file's name, if it is damaged, cut short or of another kind.
    OSError: if it cannot be read.
  """
  with path.open('rb') as file:
    start = file.read(9)
  if start.startswith(torch_file.ZIP_START) and _is_npz(path):
    return Content({'': _read_npz(path)}, ())
  if start.startswith((torch_file.ZIP_START, torch_file.LEGACY_START[:9])):
    return _sorted(torch_file.read(path))
  if start[8:] == b'{':
    return Content({'': safetensors_file.read(path)[0]}, ())
  if not start:
    raise ValueError('the file is empty')
  raise ValueError(f'no weights file, expected {KINDS}')


def _sorted(saved: Any) -> Content:
  if not isinstance(saved, Mapping):
    raise ValueError(f'it holds a {type(saved).__name__}, expected a state dict')
  if _is_state(saved):
    return Content({'': dict(saved)}, ())
  groups = {name: dict(value) for name, value in saved.items() if isinstance(name, str) and _is_state(value)}
  return Content(groups, tuple(name for name in saved if isinstance(name, str) and name not in groups))


def _is_state(value: Any) -> bool:
  return (
    isinstance(value, Mapping)
    and bool(value)
    and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
  )


def _is_npz(path: pathlib.Path) -> bool:
  try:
    with zipfile.ZipFile(path) as archive:
      return all(name.endswith('.npy') for name in archive.namelist())
  except torch_file.DAMAGE:
    return path.suffix == '.npz'


def _read_npz(path: pathlib.Path) -> Tensors:
  try:
    with path.open('rb') as file, np.load(file, allow_pickle=False) as arrays:
      return {name: _tensor(arrays[name]) for name in arrays}
  except (*torch_file.DAMAGE, KeyError) as error:
    raise ValueError(f'damaged or cut short ({error})') from None


def _tensor(array: np.ndarray) -> Tensor:
  return Tensor(array.shape, array.dtype, lambda: array)
