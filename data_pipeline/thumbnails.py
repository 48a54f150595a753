"""Small pictures of what was rejected, so that a person can see whether the reason is true: RECORDS/rejected/*.jpg."""

import base64
import io
import pathlib
import re
import shutil
from collections.abc import Mapping

import numpy as np
from PIL import Image

FOLDER = 'rejected'
SIDE = 96  # pixels, the longer one


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
