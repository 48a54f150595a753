"""A trained model in the hand: images to motion weights, motion weights to frames."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from edtalk_jax.config import Config, ModelConfig
from edtalk_jax.networks.edtalk import EDTalk
from edtalk_jax.networks.navigation import directions
from edtalk_jax.stages.losses import to_unit_range

Motion = dict[str, np.ndarray]  # bank name -> weights float32[frames, size]


@dataclasses.dataclass(frozen=True)
class Source:
  """A portrait, encoded once: everything that a frame needs of it."""

  code: jax.Array  # float32[1, style_dim]
  features: tuple[jax.Array, ...]  # [1, resolution, resolution, channels], 8 px first
  motion: Motion  # its own weights, one frame


class Model:
  """The generator side of EDTalk with its parameters, compiled for one batch size.

  Attributes:
    config: the whole configuration of the run that trained it.
    step: the training step of the parameters.
    averaged: whether they are an average over the last steps (`optimizer.ema`).
    batch_size: frames per call of the device; longer inputs are cut, the last part is padded.
  """

  def __init__(self, config: Config, params: Mapping, *, step: int = 0, averaged: bool = False, batch_size: int = 8):
    """Computes the basis (one QR) and keeps the parameters on the default device.

    Args:
      config: of the run.
      params: {'encoder', 'navigation', 'generator'}, the parameters of `EDTalk(config.model)`.
      step: how long they were trained.
      averaged: whether they are an average.
      batch_size: frames per device call.
    """
    if batch_size < 1:
      raise ValueError(f'batch_size must be at least 1, got {batch_size}')
    self.config, self.step, self.averaged, self.batch_size = config, step, averaged, batch_size
    self._params = jax.device_put(params)
    self._basis = _basis(config.model, self._params)

  @property
  def image_size(self) -> int:
    """Side of the model's square frames in pixels."""
    return self.config.model.image_size

  @property
  def banks(self) -> tuple[str, ...]:
    """Names of the motion spaces, in their order."""
    return tuple(name for name, _ in self.config.model.banks)

  def encode(self, image: ArrayLike) -> Source:
    """Encodes one portrait: uint8[size, size, 3], or float in [-1, 1].

    Raises:
      ValueError: on another shape or type.
    """
    images = self._images(np.asarray(image)[None])
    code, features, motion = _encode(self.config.model, self._params, images)
    return Source(code, features, jax.device_get(motion))

  def motion(self, images: ArrayLike) -> Motion:
    """Reads the motion of images: uint8[frames, size, size, 3], or float in [-1, 1].

    Returns:
      Bank name -> weights float32[frames, size of the bank].

    Raises:
      ValueError: on another shape or type.
    """
    images = self._images(np.asarray(images))
    parts = [
      jax.device_get(_motion(self.config.model, self._params, _padded(chunk, self.batch_size)))
      for chunk in _chunks(images, self.batch_size)
    ]
    empty = {name: np.zeros((0, size), np.float32) for name, size in self.config.model.banks}
    return {name: np.concatenate([e, *(part[name] for part in parts)])[:len(images)] for name, e in empty.items()}

  def generate(self, source: Source, motion: Mapping[str, ArrayLike]) -> np.ndarray:
    """Paints the portrait in the given motion.

    Args:
      source: from `encode`.
      motion: bank name -> weights float32[frames, size]; banks left out keep the portrait's own motion.

    Returns:
      uint8[frames, size, size, 3], scaled by the fixed (x + 1) * 127.5. (The official demos stretch each clip's
      contrast to its own extremes instead.)

    Raises:
      ValueError: on an unknown bank, a wrong size, or banks of different lengths.
    """
    weights = {name: np.asarray(values, np.float32) for name, values in motion.items()}
    if unknown := set(weights) - set(self.banks):
      raise ValueError(f'motion names {", ".join(sorted(unknown))}; the model has {", ".join(self.banks)}')
    for name, size in self.config.model.banks:
      if name in weights and (weights[name].ndim != 2 or weights[name].shape[1] != size):
        raise ValueError(f'motion of {name} must be [frames, {size}], got {list(weights[name].shape)}')
    lengths = {name: len(values) for name, values in weights.items()}
    if len(set(lengths.values())) != 1:
      raise ValueError(f'motion must hold banks of one length, got {lengths}')
    count = next(iter(lengths.values()))
    for name in self.banks:
      if name not in weights:
        weights[name] = np.repeat(source.motion[name], count, axis=0)
    frames = [np.zeros((0, self.image_size, self.image_size, 3), np.uint8)]
    for first in range(0, count, self.batch_size):
      part = {name: _padded(v[first:first + self.batch_size], self.batch_size) for name, v in weights.items()}
      frames.append(np.asarray(self.paint(source, part)))
    return np.concatenate(frames)[:count]

  def paint(self, source: Source, motion: Mapping[str, ArrayLike]) -> jax.Array:
    """One call of the device, as `generate` makes it: weights of every bank, as many as there shall be frames.

    Returns:
      uint8[frames, size, size, 3] on the device, which may still be at work.
    """
    return _generate(self.config.model, self._params, self._basis, source.code, source.features, dict(motion))

  def _images(self, images: np.ndarray) -> np.ndarray:
    expected = (self.image_size, self.image_size, 3)
    if images.ndim != 4 or images.shape[1:] != expected:
      raise ValueError(f'images must be {list(expected)} each, got {list(images.shape[1:])}')
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
      raise ValueError(f'images must be uint8, or float in [-1, 1], got {images.dtype}')
    return images if images.dtype == np.uint8 else images.astype(np.float32)


def load(path: str, which: Literal['latest', 'best'] = 'latest', *, raw: bool = False, batch_size: int = 8) -> Model:
  """Loads the model of a run's folder.

  Args:
    path: the run's folder (`--workdir` of train.py).
    which: its newest checkpoint, or the one of the lowest validation loss.
    raw: take the parameters themselves even if the run keeps an average of them (`optimizer.ema`).
    batch_size: frames per device call.

  Raises:
    UserError: in one line, if the folder is missing or holds no checkpoint.
  """
  from edtalk_jax.training import hand_off  # Orbax takes seconds to import; models built from arrays need none

  found = hand_off.read_run(path, which, raw=raw)
  return Model(found.config, found.params, step=found.step, averaged=found.averaged, batch_size=batch_size)


def _chunks(array: np.ndarray, size: int) -> list[np.ndarray]:
  return [array[first:first + size] for first in range(0, len(array), size)]


def _padded(array: np.ndarray, size: int) -> np.ndarray:
  """Repeats the last row up to `size` rows, so that every call has the shape that was compiled."""
  return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])


def _signal(images: jax.Array) -> jax.Array:
  return to_unit_range(images) if images.dtype == jnp.uint8 else images


@functools.partial(jax.jit, static_argnums=0)
def _basis(config: ModelConfig, params):
  return EDTalk(config).apply({'params': params}, method='basis')


@functools.partial(jax.jit, static_argnums=0)
def _encode(config: ModelConfig, params, images):
  code, features = EDTalk(config).apply({'params': params}, _signal(images), method='encode')
  return code, features, EDTalk(config).apply({'params': params}, code, method='motion')


@functools.partial(jax.jit, static_argnums=0)
def _motion(config: ModelConfig, params, images):
  return _encode(config, params, images)[2]


@functools.partial(jax.jit, static_argnums=0)
def _generate(config: ModelConfig, params, basis, code, features, weights):
  shifts = directions(weights, basis, config)
  latent = code + sum(shifts.values())
  features = tuple(jnp.broadcast_to(f, (len(latent), *f.shape[1:])) for f in features)
  expression = shifts['expression'] if config.expression_module else None
  images = EDTalk(config).apply({'params': params}, latent, features, expression, method='decode')
  return jnp.clip(jnp.round((images + 1) * 127.5), 0, 255).astype(jnp.uint8)
