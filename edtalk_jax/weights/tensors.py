"""Tensors that are still in their file: name, shape and type are known, values are read when they are wanted."""

import dataclasses
from collections.abc import Callable, Mapping

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


@dataclasses.dataclass(frozen=True)
class Tensor:
  """One tensor of a weights file. `np.asarray` reads it; each time anew, since a file may be larger than memory.

  Attributes:
    shape: as the file says.
    dtype: of the values in the file.
    read: returns the values, or raises ValueError if the file does not hold them.
  """

  shape: tuple[int, ...]
  dtype: np.dtype
  read: Callable[[], np.ndarray]

  def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
    return np.asarray(self.read(), dtype)

  def __len__(self) -> int:
    return self.shape[0]


Tensors = Mapping[str, Tensor]
