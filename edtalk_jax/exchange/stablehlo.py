"""A model as portable programs: StableHLO by `jax.export`, with the parameters beside them in one file.

`portable` reads such files. They hold no code of this project: only JAX and NumPy are needed to run them.
"""

import dataclasses
import functools
import io
import json
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from edtalk_jax import inference
from edtalk_jax._version import __version__
from edtalk_jax.config import UserError
from edtalk_jax.exchange import portable
from edtalk_jax.model import Model
from edtalk_jax.networks.audio import MEL_BANDS, MEL_COLUMNS
from edtalk_jax.training import trees

Struct = jax.ShapeDtypeStruct


def export_model(model: Model, out: str | pathlib.Path, platforms: Sequence[str] = portable.PLATFORMS) -> pathlib.Path:
  """Writes encode, motion and generate (and hear, if the model hears) as portable programs.

  Shapes are fixed: `encode` takes one portrait, the others `model.batch_size` rows. Programs are float32 or bfloat16 as
  `model.dtype` says.

  Args:
    model: that is exported.
    out: the file.
    platforms: on which it shall run, of `portable.PLATFORMS`. This machine needs to be none of them.

  Raises:
    UserError: on another platform.
  """
  if not platforms or set(platforms) - set(portable.PLATFORMS):
    raise UserError(f'--platforms {" ".join(platforms)}: expected some of {" ".join(portable.PLATFORMS)}')
  parameters = trees.flatten(model.parameters)
  shapes = {path: Struct(array.shape, array.dtype) for path, array in parameters.items()}
  programs = {
    name: jax.export.export(jax.jit(program), platforms=list(platforms))(shapes, *arguments)
    for name, (program, arguments) in _programs(model).items()
  }
  path = pathlib.Path(out)
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(path.name + '.part')
  try:
    with zipfile.ZipFile(part, 'w', zipfile.ZIP_STORED) as archive:
      archive.writestr(portable.ABOUT, json.dumps(_about(model, platforms), indent=2))
      for name, program in programs.items():
        archive.writestr(f'{name}{portable.PROGRAM}', bytes(program.serialize()))
      for name, array in parameters.items():
        archive.writestr(f'{portable.PARAMETERS}{name}.npy', _npy(np.asarray(array)))
    part.replace(path)
  finally:
    part.unlink(missing_ok=True)
  return path


def _about(model: Model, platforms: Sequence[str]) -> dict[str, Any]:
  return {
    'format': portable.FORMAT,
    'image_size': model.image_size,
    'batch_size': model.batch_size,
    'banks': [[name, size] for name, size in model.config.model.banks],
    'hears': model.hears,
    'step': model.step,
    'stage': model.config.run.stage,
    'model': dataclasses.asdict(model.config.model),
    'platforms': list(platforms),
    'versions': {'edtalk_jax': __version__, 'jax': jax.__version__},
  }


def _programs(model: Model) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
  """Name -> (function of flat parameters and arrays, shapes of the arrays)."""
  config, size, batch = model.config.model, model.image_size, model.batch_size

  def encode(parameters, image):
    return inference.encode(config, trees.unflatten(parameters)['model'], image)

  def motion(parameters, images):
    return inference.motion(config, trees.unflatten(parameters)['model'], images)

  def generate(parameters, code, features, weights):
    parts = trees.unflatten(parameters)
    return inference.generate(config, parts['model'], parts['basis'], code, features, weights)

  def hear(parameters, windows):
    return inference.hear(trees.unflatten(parameters)['audio'], windows)

  image = functools.partial(Struct, dtype=np.uint8)
  shapes = {path: Struct(array.shape, array.dtype) for path, array in trees.flatten(model.parameters).items()}
  portrait = image((1, size, size, 3))
  code, features, _ = jax.eval_shape(encode, shapes, portrait)
  weights = {name: Struct((batch, width), np.float32) for name, width in config.banks}
  programs = {
    'encode': (encode, (portrait,)),
    'motion': (motion, (image((batch, size, size, 3)),)),
    'generate': (generate, (code, features, weights)),
  }
  if model.hears:
    programs['hear'] = (hear, (Struct((batch, MEL_BANDS, MEL_COLUMNS), np.float32),))
  return programs


def _npy(array: np.ndarray) -> bytes:
  buffer = io.BytesIO()
  np.lib.format.write_array(buffer, array, allow_pickle=False)
  return buffer.getvalue()
