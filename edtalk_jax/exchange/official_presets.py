"""The released expression presets ('predefined_exp_weights'): one NumPy file of weights for each emotion."""

import pathlib

import numpy as np

from edtalk_jax.animation.presets import NEUTRAL, Preset, Presets
from edtalk_jax.config import UserError


def read(folder: str, size: int) -> Presets:
  """Reads `<emotion>.npy`, float[1, size] or float[size] each.

  The official code sets the weights themselves; ours adds strength x (emotion - neutral) to neutral, which is the same
  at strength 1.

  Args:
    folder: of the files; 'neutral.npy' must be among them.
    size: of the model's expression bank, 0 without one.

  Raises:
    UserError: if the model has none, or a file is missing, damaged or of another size.
  """
  if not size:
    raise UserError(f'--presets {folder}: the model has no expression space')
  paths = sorted(pathlib.Path(folder).glob('*.npy'))
  emotions = {path.stem: Preset(_weights(path, size), (0.0,) * size, clips=0, people=0) for path in paths}
  if NEUTRAL not in emotions:
    raise UserError(f'--presets {folder}: there is no {NEUTRAL}.npy, from which strengths count')
  return Presets(step=0, data=f'imported from {pathlib.Path(folder).name}', split='', emotions=emotions)


def _weights(path: pathlib.Path, size: int) -> tuple[float, ...]:
  try:
    array = np.load(path, allow_pickle=False)
  except (ValueError, EOFError) as error:
    raise UserError(f'{path}: no array of numbers ({" ".join(str(error).split())})') from None
  if array.shape not in ((size,), (1, size)) or array.dtype.kind != 'f' or not np.isfinite(array).all():
    raise UserError(f'{path}: {array.dtype}{list(array.shape)}, expected {size} finite expression weights')
  return tuple(array.reshape(-1).astype(float).tolist())
