"""VGG19 weights from torchvision's file. Without one, `networks.VGG19` draws random features of its own."""

import pathlib
from typing import Any

from edtalk_jax.weights import files
from edtalk_jax.weights.official import from_official


def load_vgg19(path: str | pathlib.Path) -> dict[str, Any]:
  """Reads VGG19's convolutions up to relu5_1.

  Args:
    path: torchvision's `vgg19-*.pth`, or a `.npz` or `.safetensors` file with its names ('features.0.weight', ...).

  Returns:
    Variables of `VGG19(width=1)`.

  Raises:
    ValueError: if the file is missing, of another kind, or does not hold VGG19.
  """
  arrays = files.read(path, 'VGG19 weights')
  try:
    config, variables = from_official(arrays, 'vgg19')
  except ValueError as error:
    raise ValueError(f'VGG19 weights: {path}: {error}') from None
  if config.width != 1:
    raise ValueError(f'VGG19 weights in {path} have {config.width:g} times the channels of VGG19')
  return variables
