"""Feature networks that the user brings: a Python function that returns one, in the manner of a configuration file."""

import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax.config import UserError
from edtalk_jax.stages.losses import merge_views, split_views

Array = jax.Array


class Features:
  """A frozen network from images to feature vectors. Holds no arrays.

  `spec` is 'FILE.py:FUNCTION'; that function takes nothing and returns (params, apply). `apply(params, images)` is a
  pure JAX function from float32[n, height, width, 3] in [-1, 1], at the size that is trained, to float[n, features];
  cropping and resizing are its own.

  Raises:
    UserError: if there is no such file or function, or it returns something else.
  """

  def __init__(self, name: str, spec: str):
    self._name, self._spec = name, spec
    self._params, self._apply = _build(name, spec)

  def init(self) -> Any:
    """Returns the network's parameters."""
    return jax.tree.map(np.asarray, self._params)

  def __call__(self, params: Any, images: Array) -> Array:
    """Maps images [batch, views, height, width, 3] to float32[batch, views, features]."""
    merged = merge_views(images)
    found = self._apply(params, merged)
    if found.ndim != 2 or len(found) != len(merged):
      raise UserError(
        f'features.{self._name}={self._spec}: expected features [{len(merged)}, n] of {len(merged)} '
        f'images, got {list(found.shape)}'
      )
    return split_views(found.astype(jnp.float32), images.shape[1])


def _build(name: str, spec: str) -> tuple[Any, Callable[[Any, Array], Array]]:
  path, _, function = spec.rpartition(':')
  file = pathlib.Path(path)
  what = f'features.{name}={spec}'
  if not file.is_file():
    raise UserError(f'{what}: no such file')
  loader = importlib.util.spec_from_file_location(f'edtalk_features_{file.stem}', file)
  module = importlib.util.module_from_spec(loader)
  try:
    loader.loader.exec_module(module)
    params, apply = getattr(module, function)()
  except Exception as error:  # the file is the user's: whatever it raises is theirs to mend
    reason = f'{type(error).__name__}: {error}'
    raise UserError(f'{what}: {reason}; expected a function that returns (params, apply)') from None
  if not callable(apply):
    raise UserError(f'{what}: returned {type(apply).__name__}, expected a function apply(params, images)')
  return params, apply
