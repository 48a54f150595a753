"""`animate`: a portrait, driven by videos or images, written as a video."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from data_pipeline import media
from edtalk_jax.animation import framing, timeline
from edtalk_jax.config import UserError
from edtalk_jax.model import Model, Motion, Source

AUDIO_RATE = 48_000  # Hz of the written sound


@dataclasses.dataclass(frozen=True)
class Animated:
  """What was written."""

  path: str
  frames: int
  seconds: float
  sound: bool  # whether the driver's audio was muxed in


def animate(
  model: Model,
  source: str,
  drivers: Mapping[str, str],
  out: str,
  *,
  driver: str | None = None,
  weights: Motion | None = None,
  extend: timeline.Extend = 'hold',
  crop: bool = True,
  say: Callable[[str], None] = lambda line: None,
  progress: Callable[[int, int], None] = lambda done, total: None,
) -> Animated:
  """Animates a portrait.

  The portrait is encoded once. Drivers are resampled to 25 frames/s and read in batches, of which only the motion
  weights are kept; frames are written as they are made: memory does not grow with the length of a video, but for its
  sound and a few numbers a frame.

  Args:
    model: that paints.
    source: portrait image (the first frame of a video).
    drivers: bank name -> video or image whose motion that bank takes.
    out: the MP4 to write.
    driver: video or image for every bank that `drivers` does not name; without it those keep the portrait's own motion.
    weights: bank name -> weights float32[frames, size] that drive it instead, such as a preset (one frame).
    extend: how drivers shorter than the output go on.
    crop: find the face in the portrait and in every driver and frame it as in training (needs the extra `faces`);
      False: the largest centred square of each.
    say: told in words what is being done.
    progress: called with (frames written, frames in all).

  Returns:
    What was written. The sound is the mouth driver's (else the common driver's), cut to the video's length.

  Raises:
    UserError: in one line, on a bank that the model lacks, no driver at all, or a file that is not there.
    data_pipeline.errors.DataError: on a file that cannot be read or shows no face.
  """
  weights = weights or {}
  paths = assign(model, drivers, driver, tuple(weights))
  for path in (source, *paths.values()):  # before minutes are spent on the first of them
    if not os.path.exists(path):
      raise UserError(f'{path}: no such file')
  detector = framing.find_faces() if crop else None
  portrait = model.encode(framing.portrait(source, model.image_size, detector))
  motions = {}
  for path in sorted(set(paths.values())):  # one pass, however many banks a video drives
    say(f'reading the motion of {path}')
    motions[path] = read_motion(model, framing.driver_frames(path, model.image_size, detector))
  parts = {**{bank: motions[path][bank] for bank, path in paths.items()}, **weights}
  count = timeline.common_length({bank: len(values) for bank, values in parts.items()})
  motion = {bank: values[timeline.extended(len(values), count, extend)] for bank, values in parts.items()}
  leader = paths.get('mouth', driver)
  audio = media.read_audio(leader, AUDIO_RATE) if leader is not None else None
  if audio is not None and not len(audio):
    audio = None
  say(f'painting {count} frames')
  written = media.write_video(out, paint(model, portrait, motion, progress), media.FPS, audio, AUDIO_RATE)
  return Animated(os.fspath(out), written, written / media.FPS, audio is not None)


def assign(model: Model, drivers: Mapping[str, str], driver: str | None, given: Sequence[str] = ()) -> dict[str, str]:
  """Returns bank name -> path of what drives it, of the driven banks only, without those `given` weights.

  Raises UserError as `animate` does.
  """
  if unknown := [bank for bank in (*drivers, *given) if bank not in model.banks]:
    options = ', '.join(f'--{bank}' for bank in unknown)
    if model.banks == ('motion',):
      raise UserError(f'{options}: this model (stage {model.config.run.stage}) has one undivided motion space; '
                      'give --driver VIDEO, or a model of stage mouth_pose')
    raise UserError(f'{options}: the model has no such motion space, only {", ".join(model.banks)}')
  paths = {bank: drivers.get(bank, driver) for bank in model.banks}
  paths = {bank: path for bank, path in paths.items() if path is not None and bank not in given}
  if not paths and not given:
    raise UserError(f'nothing drives the portrait: give --driver VIDEO or one for any of {", ".join(model.banks)}')
  return paths


def read_motion(model: Model, frames: Iterator[np.ndarray]) -> Motion:
  """Returns the motion weights of frames, which are held `model.batch_size` at a time."""
  parts = [model.motion(np.stack(batch)) for batch in _batches(frames, model.batch_size)]
  if not parts:
    raise UserError('a driver must show at least one frame, got none')
  return {bank: np.concatenate([part[bank] for part in parts]) for bank in model.banks}


def paint(model: Model, portrait: Source, motion: Motion,
          progress: Callable[[int, int], None] = lambda done, total: None) -> Iterator[np.ndarray]:
  """Yields the frames uint8[size, size, 3] of motion weights, painted `model.batch_size` at a time."""
  count = len(next(iter(motion.values())))
  for first in range(0, count, model.batch_size):
    chunk = {bank: values[first:first + model.batch_size] for bank, values in motion.items()}
    yield from model.generate(portrait, chunk)
    progress(min(count, first + model.batch_size), count)


def _batches(frames: Iterator[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
  batch = []
  for frame in frames:
    batch.append(frame)
    if len(batch) == size:
      yield batch
      batch = []
  if batch:
    yield batch
