"""What drives which motion space, and the motion that it tells."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from data_pipeline import media, tracking
from edtalk_jax.animation import framing, motion_file, timeline
from edtalk_jax.animation.ahead import ahead
from edtalk_jax.config import UserError
from edtalk_jax.model import Model, Motion

Kind = Literal['motion', 'image', 'video', 'sound']
STILL = 'still'  # in the place of a driver: the portrait's own motion


def kind(path: str) -> Kind:
  """Returns what a driver is, by its content (motion files by their name).

  Raises:
    DataError: if it can be none of them.
  """
  if motion_file.is_one(path):
    return 'motion'
  if framing.is_picture(path):
    return 'image'
  video, sound = media.tracks(path)
  if not (video or sound):
    raise media.MediaError(f'{path}: holds neither pictures nor sound')
  return 'video' if video else 'sound'


def assign(model: Model, drivers: Mapping[str, str], driver: str | None, given: Sequence[str] = ()) -> dict[str, str]:
  """Returns bank name -> path of what drives it, of the driven banks only: neither `STILL`, nor `given` weights.

  Raises:
    UserError: in one line, on a bank that the model lacks, or no driver at all.
  """
  if unknown := [bank for bank in (*drivers, *given) if bank not in model.banks]:
    options = ', '.join(f'--{bank}' for bank in unknown)
    if model.banks == ('motion',):
      raise UserError(
        f'{options}: this model (stage {model.config.run.stage}) has one undivided motion space; '
        'give --driver FILE, or a model of stage mouth_pose'
      )
    raise UserError(f'{options}: the model has no such motion space, only {", ".join(model.banks)}')
  paths = {bank: drivers.get(bank, driver) for bank in model.banks}
  paths = {bank: path for bank, path in paths.items() if path not in (None, STILL) and bank not in given}
  if not paths and not given:
    raise UserError(f'nothing drives the portrait: give --driver FILE or one for any of {", ".join(model.banks)}')
  return paths


def read(model: Model, path: str, banks: Mapping[str, bool], detector: tracking.Detector | None, fps: float) -> Motion:
  """Returns the motion that a driver tells of some banks.

  Args:
    model: whose motion spaces they are.
    path: of the driver.
    banks: names -> whether the user named this driver for that very bank: it must then tell of it, or is an error.
    detector: see `framing.portrait`.
    fps: frames per second of the result.

  Raises:
    UserError: in one line, if the driver does not tell what it was named for.
    data_pipeline.errors.DataError: on a file that cannot be read or shows no face.
  """
  try:
    motion = _told(model, path, banks, detector, fps)
  except MemoryError:
    raise UserError(f'{path}: takes more memory than there is; a damaged file may ask for that') from None
  for bank, asked in banks.items():
    if asked and bank not in motion:
      raise UserError(f'--{bank} {path}: tells of {", ".join(motion)} only')
  return {bank: motion[bank] for bank in banks if bank in motion}


def _told(model: Model, path: str, banks: Mapping[str, bool], detector: tracking.Detector | None, fps: float) -> Motion:
  match kind(path):
    case 'motion':
      return motion_file.read(path, model, fps)
    case 'sound':
      if named := [bank for bank, asked in banks.items() if asked and bank != 'mouth']:
        raise UserError(f'--{named[0]} {path}: sound drives the mouth only')
      return hear(model, path, fps)
    case _:
      return watch(model, framing.driver_frames(path, model.image_size, detector, fps))


def watch(model: Model, frames: Iterator[np.ndarray]) -> Motion:
  """Returns the motion weights of frames, which are held `model.batch_size` at a time."""
  parts = [model.motion(np.stack(batch)) for batch in batches(ahead(frames, model.batch_size), model.batch_size)]
  if not parts:
    raise UserError('a driver must show at least one frame, got none')
  return {bank: np.concatenate([part[bank] for part in parts]) for bank in model.banks}


def hear(model: Model, path: str, fps: float) -> Motion:
  """Returns the mouth's weights of a file's sound, which is held a few seconds at a time."""
  listener = model.listener(media.AUDIO_RATE)
  if not media.AudioReader(path).found:
    raise UserError(f'{path}: holds no sound')
  parts, position = [], 0
  for samples in media.read_sound(path):
    position += len(samples)
    parts.append(listener.feed(samples))
  parts = [part for part in (*parts, listener.finish()) if part is not None]
  if not parts:
    shortest = 1000 // media.FPS
    raise UserError(f'{path}: holds {1000 * position // media.AUDIO_RATE} ms of sound, expected at least {shortest} ms')
  return timeline.resampled({'mouth': np.concatenate(parts)}, media.FPS, fps)


def batches(items: Iterator, size: int) -> Iterator[list]:
  """Yields lists of `size` items; the last may be shorter."""
  batch = []
  for item in items:
    batch.append(item)
    if len(batch) == size:
      yield batch
      batch = []
  if batch:
    yield batch


def refuse_long(paths: Sequence[str], most_seconds: float) -> None:
  """Raises UserError if a file lasts longer."""
  for path in paths:
    match kind(path):
      case 'motion':
        length = motion_file.seconds(path)
      case 'image':
        length = 0.0
      case _:
        length = media.seconds(path)
    if length > most_seconds + 1 / media.FPS:  # containers round durations to frames
      raise UserError(f'{path}: lasts {length:.1f} s, at most {most_seconds:g} s are taken')


def missing(paths: Sequence[str]) -> None:
  """Raises UserError if a file is not there: before minutes are spent on others."""
  for path in paths:
    if not os.path.exists(path):
      raise UserError(f'{path}: no such file')
