"""Pictures put by on disk, to be seen again in any order: a video cannot be decoded backwards."""

import contextlib
import io
import tempfile

import numpy as np
from PIL import Image

_QUALITY = 95  # of the JPEGs, with full chroma: far finer than the H.264 that they came from and go to


class Spool(contextlib.AbstractContextManager):
  """A temporary file of JPEGs, gone when it is closed."""

  def __init__(self):
    """Opens the file."""
    self._file = tempfile.TemporaryFile()  # noqa: SIM115
    self._ends = [0]

  def __exit__(self, *error) -> None:
    self._file.close()

  def __len__(self) -> int:
    return len(self._ends) - 1

  def append(self, picture: np.ndarray) -> None:
    """Puts uint8[height, width, 3] by."""
    self._file.seek(self._ends[-1])
    Image.fromarray(picture).save(self._file, 'JPEG', quality=_QUALITY, subsampling=0)
    self._ends.append(self._file.tell())

  def __getitem__(self, index: int) -> np.ndarray:
    """Returns picture `index`."""
    self._file.seek(self._ends[index])
    return np.asarray(Image.open(io.BytesIO(self._file.read(self._ends[index + 1] - self._ends[index]))))
