"""Painted faces made larger and sharper by a network of the user's: any ONNX file that maps pictures to pictures."""

import os

import numpy as np
from PIL import Image

from edtalk_jax.config import UserError


class Upscaler:
  """A super-resolution network (Real-ESRGAN, GFPGAN and their like) on ONNX Runtime.

  It has one input float32[1 or n, 3, height, width], RGB, and a first output of the same kind, larger or not.
  """

  def __init__(self, path: str | os.PathLike, signed: bool = False):
    """Loads the network.

    Args:
      path: ONNX file.
      signed: whether its pictures are in [-1, 1] (GFPGAN), rather than in [0, 1] (Real-ESRGAN).

    Raises:
      UserError: in one line, if ONNX Runtime is missing, or the file is no such network.
    """
    try:
      import onnxruntime
    except ImportError:
      raise UserError('--upscale needs the extra [upscale]: pip install "edtalk-jax[upscale]"') from None
    if not os.path.exists(path):
      raise UserError(f'{path}: no such file')
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it cannot read is said below
    try:
      providers = onnxruntime.get_available_providers()
      self._session = onnxruntime.InferenceSession(os.fspath(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions have no common base
      raise UserError(f'{path}: is no network that ONNX Runtime can load ({type(error).__name__})') from None
    inputs = self._session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != 'tensor(float)' or len(inputs[0].shape) != 4 or inputs[0].shape[1] != 3:
      found = ', '.join(f'{each.type}{each.shape}' for each in inputs)
      raise UserError(f'{path}: expected one input tensor(float)[n, 3, height, width], got {found}')
    self._path, self._signed, self._input = os.fspath(path), signed, inputs[0]

  def __call__(self, face: np.ndarray) -> np.ndarray:
    """Maps uint8[height, width, 3] to uint8[height', width', 3].

    Raises:
      UserError: if the network gives no picture of even sides, or fails.
    """
    height, width = (side if isinstance(side, int) else None for side in self._input.shape[2:])
    if height and width and face.shape[:2] != (height, width):  # exported for one size
      face = np.asarray(Image.fromarray(face).resize((width, height), Image.Resampling.BICUBIC))
    values = face.astype(np.float32).transpose(2, 0, 1)[None] / 255
    try:
      found = self._session.run(None, {self._input.name: 2 * values - 1 if self._signed else values})[0]
    except Exception as error:
      size = f'{face.shape[1]}x{face.shape[0]}'
      raise UserError(f'{self._path}: fails on a picture of {size} pixels ({type(error).__name__})') from None
    if found.ndim != 4 or found.shape[:2] != (1, 3) or found.shape[2] % 2 or found.shape[3] % 2:
      raise UserError(f'{self._path}: expected pictures [1, 3, even, even], got {list(found.shape)}')
    values = found[0].transpose(1, 2, 0)
    return np.clip(np.round((values / 2 + 0.5 if self._signed else values) * 255), 0, 255).astype(np.uint8)
