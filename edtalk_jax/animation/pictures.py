"""Still pictures as people have them: turned by EXIF, transparent, grey, 16 bits deep, very large, broken."""

import os
import warnings

import numpy as np
import PIL.Image
import PIL.ImageOps

from data_pipeline.errors import DataError, is_shortage

LARGEST = 100_000_000  # pixels of a picture: three times 8K; a header that claims more is damaged, or an attack
SMALLEST = 16  # pixels of a side; less shows no face
_BACKGROUND = (255, 255, 255)  # shows through transparent pixels, as on paper


def read(path: str | os.PathLike) -> np.ndarray | None:
  """Reads a still picture upright as uint8[height, width, 3] RGB; None if the file is none (a video, sound, no file).

  Transparency shows white. Sixteen bits are scaled to eight.

  Raises:
    DataError: in one line, on a picture that is damaged, has more than `LARGEST` pixels, or a side below `SMALLEST`.
  """
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # Pillow warns of large pictures and of odd metadata, which are no matter here
      image = PIL.Image.open(path)
  except PIL.Image.DecompressionBombError:
    raise DataError(f'{path}: claims more than {LARGEST} pixels') from None
  except OSError as error:  # Pillow's UnidentifiedImageError is one
    if is_shortage(error):
      raise
    return None
  except Exception:  # a format's reader stumbled over damaged bytes
    return None
  with image:
    if getattr(image, 'is_animated', False):
      return None
    check_size(path, *image.size)
    try:
      with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return np.asarray(_rgb(PIL.ImageOps.exif_transpose(image)))
    except Exception as error:  # whatever its reader stumbles over
      if is_shortage(error):
        raise
      raise DataError(f'{path}: is a damaged picture ({type(error).__name__})') from None


def check_size(path: str | os.PathLike, width: int, height: int) -> None:
  """Raises DataError on a picture that is too large or too small to show a face."""
  if width * height > LARGEST:
    raise DataError(f'{path}: has {width}x{height} pixels, at most {LARGEST} can be read')
  if min(width, height) < SMALLEST:
    raise DataError(f'{path}: has {width}x{height} pixels, expected {SMALLEST}x{SMALLEST} or more')


def limited(picture: np.ndarray, longest: int | None) -> np.ndarray:
  """Returns a picture at most `longest` pixels wide and high, of even sides, which video needs.

  One row or column may be cut for that.
  """
  height, width = picture.shape[:2]
  if longest is not None and max(height, width) > longest:
    scale = longest / max(height, width)
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    picture = np.asarray(PIL.Image.fromarray(picture).resize(size, PIL.Image.Resampling.LANCZOS, reducing_gap=2.0))
    height, width = picture.shape[:2]
  return np.ascontiguousarray(picture[: height - height % 2, : width - width % 2])


def _rgb(image: PIL.Image.Image) -> PIL.Image.Image:
  if image.mode.startswith('I'):  # Pillow would clip sixteen bits at 255
    return PIL.Image.fromarray((np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8)).convert('RGB')
  if image.has_transparency_data:
    image = image.convert('RGBA')
    return PIL.Image.alpha_composite(PIL.Image.new('RGBA', image.size, (*_BACKGROUND, 255)), image).convert('RGB')
  return image.convert('RGB')
