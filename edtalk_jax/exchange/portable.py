"""Runs what `edtalk export-model` has written. Needs JAX and NumPy and nothing else; may be copied into a server."""

import json
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.export
import numpy as np

FORMAT = 'edtalk_jax portable model 1'
ABOUT, PROGRAM, PARAMETERS = 'model.json', '.jax_export', 'parameters/'
PLATFORMS = ('cpu', 'cuda', 'tpu')
Motion = dict[str, np.ndarray]  # bank name -> weights float32[frames, size]


class PortableModel:
  """The programs of one file with their parameters on the default device.

  Attributes:
    about: what the file says of itself: 'image_size', 'batch_size', 'banks', 'hears', 'platforms', 'versions', ...
  """

  def __init__(self, path: str | pathlib.Path):
    """Reads the file.

    Raises:
      ValueError: if it is no such file, or damaged.
      OSError: if it cannot be read.
    """
    try:
      with zipfile.ZipFile(path) as archive:
        self.about: dict[str, Any] = json.loads(archive.read(ABOUT))
        if self.about['format'] != FORMAT:
          raise ValueError(f'{path}: its format is {self.about["format"]!r}, this reads {FORMAT!r}')
        self._parameters = {}
        for name in archive.namelist():
          if name.startswith(PARAMETERS):
            with archive.open(name) as file:
              array = np.lib.format.read_array(file, allow_pickle=False)
            self._parameters[name.removeprefix(PARAMETERS).removesuffix('.npy')] = array
        programs = {
          name.removesuffix(PROGRAM): jax.export.deserialize(bytearray(archive.read(name)))
          for name in archive.namelist()
          if name.endswith(PROGRAM)
        }
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
      raise ValueError(f'{path}: no portable model, or damaged ({error})') from None
    self._parameters = jax.device_put(self._parameters)
    self._programs = {name: jax.jit(program.call) for name, program in programs.items()}

  def encode(self, image: np.ndarray) -> tuple[jax.Array, tuple[jax.Array, ...], Motion]:
    """Encodes a portrait, uint8[size, size, 3]: code, feature maps, and its own motion of one frame."""
    code, features, motion = self._run('encode', np.asarray(image)[None])
    return code, features, jax.device_get(motion)

  def motion(self, images: np.ndarray) -> Motion:
    """Reads the motion of images uint8[frames, size, size, 3], any number: bank name -> float32[frames, size]."""
    return self._in_batches('motion', images)

  def hear(self, windows: np.ndarray) -> np.ndarray:
    """Maps mel windows float32[frames, 80, 16] to mouth weights float32[frames, size], if the model hears."""
    return self._in_batches('hear', windows)

  def generate(self, source: tuple[jax.Array, tuple[jax.Array, ...], Motion], motion: Mapping[str, Any]) -> np.ndarray:
    """Paints a portrait from `encode` in weights of banks, float32[frames, size]; others keep the portrait's own.

    Returns:
      uint8[frames, size, size, 3].
    """
    code, features, own = source
    count = len(next(iter(motion.values())))
    weights = {name: np.asarray(motion.get(name, np.repeat(own[name], count, axis=0)), np.float32) for name in own}
    return self._in_batches('generate', weights, code, features)

  def _run(self, name: str, *arguments: Any) -> Any:
    return self._programs[name](self._parameters, *arguments)

  def _in_batches(self, name: str, rows: Any, *shared: Any) -> Any:
    """Runs a program, whose last argument has rows, on `batch_size` at a time; the last batch repeats its last row."""
    batch, count = self.about['batch_size'], len(jax.tree.leaves(rows)[0])
    if count == 0:
      raise ValueError(f'{name}: there are no frames')
    results = []
    for first in range(0, count, batch):
      index = np.minimum(np.arange(first, first + batch), count - 1)
      part = jax.tree.map(lambda array, index=index: np.asarray(array)[index], rows)
      results.append(jax.device_get(self._run(name, *shared, part)))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *results)


def load(path: str | pathlib.Path) -> PortableModel:
  """Loads a file of `edtalk export-model`. Raises ValueError or OSError if it is none."""
  return PortableModel(path)
