"""Motion as a file: weights per frame, to be kept, edited, mixed and replayed.

A NumPy archive (`.npz`) with one array float32[frames, size] for each bank, and beside them `fps`, the frames per
second (25 if it is missing), and `spaces`, what each bank's weights mean (JSON of `Model.spaces`; not checked if it is
missing). So `numpy.savez('x.npz', mouth=weights)` makes one.
"""

import json
import os
import pathlib
import struct
import zipfile
import zlib

import numpy as np

from edtalk_jax.animation import timeline
from edtalk_jax.config import UserError
from edtalk_jax.model import Model, Motion

SUFFIX = '.npz'
_LARGEST = 2**28  # bytes of a file when unpacked: twenty hours of motion
# What zipfile and NumPy raise on damaged bytes.
_DAMAGE = (
  ValueError,
  OSError,
  EOFError,
  KeyError,
  TypeError,
  SyntaxError,
  NotImplementedError,
  MemoryError,
  OverflowError,
  struct.error,
  zlib.error,
  zipfile.BadZipFile,
)


def is_one(path: str | os.PathLike) -> bool:
  """Whether a path is meant to be a motion file."""
  return os.fspath(path).lower().endswith(SUFFIX)


def write(path: str | os.PathLike, motion: Motion, model: Model, fps: float) -> None:
  """Writes motion of a model, whole or not at all.

  Args:
    path: ends in `.npz`.
    motion: bank name -> float32[frames, size].
    model: whose motion it is.
    fps: frames per second.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.stem}.{os.getpid()}.partial{SUFFIX}')
  spaces = json.dumps({bank: model.spaces[bank] for bank in motion})
  try:
    np.savez_compressed(temporary, **motion, fps=np.float64(fps), spaces=np.array(spaces))
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def read(path: str | os.PathLike, model: Model, fps: float) -> Motion:
  """Reads a motion file for a model at a frame rate.

  Returns:
    Bank name -> float32[frames, size], of those of the model's banks that the file holds.

  Raises:
    UserError: in one line, if the file is none, is damaged, or holds motion of another model.
  """
  arrays = _arrays(path)
  rate = _rate(path, arrays)
  meant = _spaces(path, arrays.pop('spaces', None))
  sizes = dict(model.config.model.banks)
  motion = {bank: values for bank, values in arrays.items() if bank in sizes}
  if not motion:
    raise UserError(f'{path}: holds {", ".join(arrays) or "nothing"}, expected weights of {", ".join(sizes)}')
  for bank, values in motion.items():
    if values.ndim != 2 or values.shape[1] != sizes[bank] or not len(values) or values.dtype.kind not in 'iuf':
      raise UserError(f'{path}: {bank} must be numbers [frames, {sizes[bank]}], got {values.dtype}{list(values.shape)}')
    if not np.isfinite(values).all():
      raise UserError(f'{path}: {bank} holds numbers that are not finite')
    if meant.get(bank, model.spaces[bank]) != model.spaces[bank]:
      raw = '; --raw takes the parameters themselves, not their average' if model.averaged else ''
      raise UserError(f'{path}: {bank} is motion of another model, whose weights mean something else{raw}')
  motion = {bank: values.astype(np.float32) for bank, values in motion.items()}
  return timeline.resampled(motion, rate, fps)


def seconds(path: str | os.PathLike) -> float:
  """Returns how long the longest motion in a file lasts. Raises UserError as `read` does."""
  arrays = _arrays(path)
  rate = _rate(path, arrays)
  return max((len(values) for name, values in arrays.items() if name != 'spaces' and values.ndim), default=0) / rate


def _rate(path, arrays: dict[str, np.ndarray]) -> float:
  """Takes the frames per second out of a file's arrays."""
  rate = arrays.pop('fps', np.float64(25))
  if rate.shape or rate.dtype.kind not in 'iuf' or not 0 < rate < 1000:
    raise UserError(f'{path}: fps must be a number above 0 and below 1000, got {rate}')
  return float(rate)


def _arrays(path) -> dict[str, np.ndarray]:
  try:
    with zipfile.ZipFile(path) as archive:
      size = sum(entry.file_size for entry in archive.infolist())
    if size > _LARGEST:
      raise UserError(f'{path}: holds {size} bytes, more than motion can')
    with np.load(path, allow_pickle=False) as archive:
      return {name: np.asarray(archive[name]) for name in archive.files}
  except FileNotFoundError:
    raise UserError(f'{path}: no such file') from None
  except _DAMAGE:
    raise UserError(f'{path}: no motion file, or a damaged one; edtalk animate --save-motion writes them') from None


def _spaces(path, text: np.ndarray | None) -> dict[str, str]:
  if text is None:
    return {}
  try:
    spaces = json.loads(str(text))
  except ValueError:
    spaces = None
  if not isinstance(spaces, dict):
    raise UserError(f'{path}: spaces is damaged; leave it out to replay the weights on any model')
  return spaces
