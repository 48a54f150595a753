"""A trained model in the hand: images to motion weights, motion weights to frames."""

import copy
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.typing import ArrayLike

from edtalk_jax import inference
from edtalk_jax.config import Config, UserError
from edtalk_jax.listening import Listener

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

  def __init__(
    self,
    config: Config,
    params: Mapping,
    *,
    step: int = 0,
    averaged: bool = False,
    batch_size: int = 8,
    devices: Sequence[jax.Device] | None = None,
  ):
    """Computes the basis (one QR) and keeps the parameters on the devices.

    Args:
      config: of the run.
      params: {'encoder', 'navigation', 'generator'}, the parameters of `EDTalk(config.model)`; of a model that hears,
        also 'audio', the variables of its `AudioToMouth`.
      step: how long they were trained.
      averaged: whether they are an average.
      batch_size: frames per call.
      devices: that share the frames of each call; the first one by default.

    Raises:
      ValueError: if the devices cannot share `batch_size` frames equally.
    """
    devices = devices or jax.local_devices()[:1]
    if batch_size < 1 or batch_size % len(devices):
      raise ValueError(f'batch_size must be a multiple of {len(devices)} device(s), got {batch_size}')
    self.config, self.step, self.averaged, self.batch_size = config, step, averaged, batch_size
    mesh = jax.sharding.Mesh(np.asarray(devices), ('data',))
    self._shared = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())  # what every device holds
    self._split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('data'))  # frames
    self._audio = jax.device_put(params['audio'], self._shared) if 'audio' in params else None
    self._params = jax.device_put({name: part for name, part in params.items() if name != 'audio'}, self._shared)
    self._basis = inference.basis(config.model, self._params)

  @property
  def image_size(self) -> int:
    """Side of the model's square frames in pixels."""
    return self.config.model.image_size

  @property
  def banks(self) -> tuple[str, ...]:
    """Names of the motion spaces, in their order."""
    return tuple(name for name, _ in self.config.model.banks)

  @property
  def hears(self) -> bool:
    """Whether sound can drive its mouth (stage audio_to_mouth)."""
    return self._audio is not None

  @functools.cached_property
  def spaces(self) -> dict[str, str]:
    """Bank name -> 16 hex digits that name its space. Where two models agree, so does the meaning of their weights.

    A bank's vectors are orthonormalised after those of the banks before it, so it names these too, but not later ones:
    motion of stage mouth_pose fits the stages that keep its banks.
    """
    digest, spaces = hashlib.sha256(), {}
    for name in self.banks:
      digest.update(np.ascontiguousarray(self._params['navigation']['banks'][name], np.float32).tobytes())
      spaces[name] = digest.hexdigest()[:16]
    return spaces

  def encode(self, image: ArrayLike) -> Source:
    """Encodes one portrait: uint8[size, size, 3], or float in [-1, 1].

    Raises:
      ValueError: on another shape or type.
    """
    images = self._images(np.asarray(image)[None])
    code, features, motion = inference.encode(self.config.model, self._params, images)
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
      jax.device_get(inference.motion(self.config.model, self._params, self._put(_padded(chunk, self.batch_size))))
      for chunk in _chunks(images, self.batch_size)
    ]
    empty = {name: np.zeros((0, size), np.float32) for name, size in self.config.model.banks}
    return {name: np.concatenate([e, *(part[name] for part in parts)])[: len(images)] for name, e in empty.items()}

  def motion_from_audio(self, wave: ArrayLike, rate: int) -> Motion:
    """Hears how a mouth moves.

    Args:
      wave: float[samples] in [-1, 1], mono.
      rate: samples per second, 8000 to 192000.

    Returns:
      {'mouth': float32[frames, size of the bank]}, 25 frames a second: one for every whole 40 ms of sound.

    Raises:
      UserError: if the model does not hear.
      ValueError: on samples of another shape or type, or that are not finite.
    """
    listener = self.listener(rate)
    empty = np.zeros((0, dict(self.config.model.banks)['mouth']), np.float32)
    parts = (listener.feed(np.asarray(wave)), listener.finish())
    return {'mouth': np.concatenate([empty, *(part for part in parts if part is not None)])}

  def listener(self, rate: int) -> Listener:
    """Returns what hears a sound as it comes, `motion_from_audio` in pieces.

    Raises:
      UserError: if the model does not hear.
      ValueError: on a rate that is no sound's.
    """
    self._must_hear()
    return Listener(self._weigh_sound, rate, self.batch_size)

  def _must_hear(self) -> None:
    if not self.hears:
      raise UserError(
        f'a model of stage {self.config.run.stage} does not hear; sound needs one of stage '
        'audio_to_mouth, which animate takes as --audio-model'
      )

  def _weigh_sound(self, windows: np.ndarray) -> np.ndarray:
    return np.asarray(inference.hear(self._audio, self._put(windows)))

  def hearing_with(self, other: 'Model') -> 'Model':
    """Returns this model with the ears of another one.

    Raises:
      UserError: if the other does not hear, or has another mouth space.
    """
    other._must_hear()
    if self.spaces.get('mouth') != other.spaces['mouth']:
      raise UserError(
        'the two models have different mouth spaces; train audio_to_mouth from the run that is animated, '
        'or from the one that it began with'
      )
    heard = copy.copy(self)
    heard._audio = jax.device_put(other._audio, self._shared)
    return heard

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
    weights, count = self._checked(motion)
    for name in self.banks:
      if name not in weights:
        weights[name] = np.repeat(source.motion[name], count, axis=0)
    return self._in_batches(lambda part: self.paint(source, part), weights, count)

  def repaint(self, images: ArrayLike, motion: Mapping[str, ArrayLike]) -> np.ndarray:
    """Paints each image in another motion, itself being the portrait: `generate` with a portrait for every frame.

    Args:
      images: uint8[frames, size, size, 3], or float in [-1, 1].
      motion: bank name -> weights float32[frames, size]; banks left out keep each image's own motion.

    Returns:
      uint8[frames, size, size, 3].

    Raises:
      ValueError: as `encode` and `generate`, and on as many weights as there are no images.
    """
    images = self._images(np.asarray(images))
    weights, count = self._checked(motion)
    if count != len(images):
      raise ValueError(f'motion must hold one weight for each of {len(images)} images, got {count}')

    def paint(part):
      part = self._put(part)
      return inference.repaint(self.config.model, self._params, self._basis, part['images'], part['weights'])

    return self._in_batches(paint, {'images': images, 'weights': weights}, count)

  def _in_batches(self, paint: Callable[[Any], jax.Array], rows: Any, count: int) -> np.ndarray:
    """Returns the frames of `count` rows of each array in a tree, painted `batch_size` at a time."""
    frames = [np.zeros((0, self.image_size, self.image_size, 3), np.uint8)]
    for first in range(0, count, self.batch_size):
      part = jax.tree.map(lambda a, first=first: _padded(a[first : first + self.batch_size], self.batch_size), rows)
      frames.append(np.asarray(paint(part)))
    return np.concatenate(frames)[:count]

  def _checked(self, motion: Mapping[str, ArrayLike]) -> tuple[dict[str, np.ndarray], int]:
    """Returns weights as arrays, and of how many frames they are."""
    weights = {name: np.asarray(values, np.float32) for name, values in motion.items()}
    if unknown := set(weights) - set(self.banks):
      raise ValueError(f'motion names {", ".join(sorted(unknown))}; the model has {", ".join(self.banks)}')
    for name, size in self.config.model.banks:
      if name in weights and (weights[name].ndim != 2 or weights[name].shape[1] != size):
        raise ValueError(f'motion of {name} must be [frames, {size}], got {list(weights[name].shape)}')
    lengths = {name: len(values) for name, values in weights.items()}
    if len(set(lengths.values())) != 1:
      raise ValueError(f'motion must hold banks of one length, got {lengths}')
    return weights, next(iter(lengths.values()))

  def paint(self, source: Source, motion: Mapping[str, ArrayLike]) -> jax.Array:
    """One call of the device, as `generate` makes it: weights of every bank, as many as there shall be frames.

    Returns:
      uint8[frames, size, size, 3] on the device, which may still be at work.
    """
    motion = self._put(dict(motion))
    return inference.generate(self.config.model, self._params, self._basis, source.code, source.features, motion)

  @property
  def parameters(self) -> dict[str, Any]:
    """What the functions of `inference` take: 'model', 'basis', and 'audio' if the model hears."""
    found = {'model': self._params, 'basis': self._basis}
    return found | ({'audio': self._audio} if self.hears else {})

  def _put(self, rows: Any) -> Any:
    """Shares the rows of each array in a tree out to the devices."""
    return jax.device_put(rows, self._split)

  def _images(self, images: np.ndarray) -> np.ndarray:
    expected = (self.image_size, self.image_size, 3)
    if images.ndim != 4 or images.shape[1:] != expected:
      raise ValueError(f'images must be {list(expected)} each, got {list(images.shape[1:])}')
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
      raise ValueError(f'images must be uint8, or float in [-1, 1], got {images.dtype}')
    return images if images.dtype == np.uint8 else images.astype(np.float32)


def load(
  path: str,
  which: Literal['latest', 'best'] = 'latest',
  *,
  raw: bool = False,
  batch_size: int = 8,
  devices: Sequence[jax.Device] | None = None,
) -> Model:
  """Loads the model of a run's folder.

  Args:
    path: the run's folder (`--workdir` of train.py).
    which: its newest checkpoint, or the one of the lowest validation loss.
    raw: take the parameters themselves even if the run keeps an average of them (`optimizer.ema`).
    batch_size: frames per call.
    devices: that share the frames of each call; the first one by default.

  Raises:
    UserError: in one line, if the folder is missing, holds no checkpoint, or one of a stage without a generator.
  """
  from edtalk_jax.training import hand_off  # Orbax takes seconds to import; models built from arrays need none

  found = hand_off.read_run(path, which, raw=raw)
  if missing := {'encoder', 'navigation', 'generator'} - set(found.params):
    raise UserError(
      f'{path}: a run of stage {found.config.run.stage} has no {sorted(missing)[0]}; animation needs '
      'one of stage mouth_pose, expression or audio_to_mouth'
    )
  return Model(
    found.config, found.params, step=found.step, averaged=found.averaged, batch_size=batch_size, devices=devices
  )


def _chunks(array: np.ndarray, size: int) -> list[np.ndarray]:
  return [array[first : first + size] for first in range(0, len(array), size)]


def _padded(array: np.ndarray, size: int) -> np.ndarray:
  """Repeats the last row up to `size` rows, so that every call has the shape that was compiled."""
  return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])
