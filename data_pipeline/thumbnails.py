"""Small pictures of what was rejected, so that a person can see whether the reason is true: RECORDS/rejected/*.jpg."""

import base64
import io
import pathlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from PIL import Image

FOLDER = 'rejected'
SIDE = 96  # pixels, the longer one


class Strip:
  """Small pictures of a video that passes by: one a second, and of long videos so much fewer that memory holds.

  Args:
    most: how many pictures are kept.
  """

  def __init__(self, most: int = 256):
    self._most, self._every, self._pictures, self._count = most, 25, [], 0

  def watch(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields the frames, uint8[height, width, 3] each."""
    for frame in frames:
      if self._count % self._every == 0:
        self._pictures.append(of(frame))
      self._count += 1
      if len(self._pictures) > self._most:
        self._every, self._pictures = 2 * self._every, self._pictures[::2]
      yield frame

  def at(self, index: int) -> str:
    """Returns the picture nearest to a frame, as `of` does; '' if nothing has passed by."""
    return self._pictures[min(round(index / self._every), len(self._pictures) - 1)] if self._pictures else ''


def of(frame: np.ndarray) -> str:
  """Returns a small JPEG of uint8[height, width, 3] as base64 text, which JSON can hold."""
  return _encoded(Image.fromarray(frame))


def of_jpeg(data: bytes) -> str:
  """Returns the same of a stored picture."""
  return _encoded(Image.open(io.BytesIO(data)))


def name_of(video_id: str, begin_frame: int) -> str:
  """Returns the file's name of what a video shows from a frame on."""
  return re.sub(r'[^\w#.-]+', '_', f'{video_id}-{begin_frame}') + '.jpg'


def write(out: pathlib.Path, pictures: Mapping[str, str]) -> None:
  """Replaces OUT/rejected by the given pictures: file name -> what `of` returned."""
  folder, partial = out / FOLDER, out / f'.{FOLDER}.partial'
  shutil.rmtree(partial, ignore_errors=True)
  partial.mkdir()
  for name, text in pictures.items():
    (partial / name).write_bytes(base64.b64decode(text))
  shutil.rmtree(folder, ignore_errors=True)
  partial.replace(folder)


def _encoded(image: Image.Image) -> str:
  image = image.convert('RGB')
  image.thumbnail((SIDE, SIDE), reducing_gap=2.0)
  stream = io.BytesIO()
  image.save(stream, 'JPEG', quality=75)
  return base64.b64encode(stream.getvalue()).decode('ascii')
