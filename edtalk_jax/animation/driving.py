"""`animate`: a portrait, driven by videos, images, sound or motion files, written as a video."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from data_pipeline import media, tracking
from edtalk_jax.animation import drivers as drivers_lib
from edtalk_jax.animation import framing, motion_file, sources, timeline
from edtalk_jax.animation.ahead import ahead
from edtalk_jax.animation.options import Options
from edtalk_jax.animation.upscaling import Upscaler
from edtalk_jax.config import UserError
from edtalk_jax.model import Model, Motion

AUDIO_RATE = 48_000  # Hz of the written sound

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Animated:
  """What was written."""

  path: str
  frames: int
  seconds: float
  sound: bool  # whether there was any to mux in


def animate(
  model: Model,
  source: str | Sequence[str],
  drivers: Mapping[str, str],
  out: str,
  *,
  driver: str | None = None,
  audio: str | None = None,
  weights: Motion | None = None,
  save_motion: str | None = None,
  options: Options | None = None,
  say: Say = lambda line: None,
  progress: Progress = lambda done, total: None,
) -> list[Animated]:
  """Animates portraits.

  A portrait is encoded once. Drivers are read in batches, of which only the motion weights are kept; frames are painted
  in one thread while those before them are written in another: memory does not grow with the length of a video, but for
  a few numbers a frame.

  Args:
    model: that paints.
    source: portrait image, or a video whose face is painted anew in every frame; or several of them.
    drivers: bank name -> video, image or motion file whose motion that bank takes; of 'mouth', also sound. 'still'
      keeps the source's own, whatever drives the others.
    out: the MP4 to write; of several sources, the folder for one MP4 each, named as they are.
    driver: the same for every bank that `drivers` does not name; without it those keep the source's own motion.
    audio: sound, or a video's, to write; it also drives the mouth if nothing else does.
    weights: bank name -> weights float32[frames, size] that drive it instead, such as a preset (one frame).
    save_motion: motion file to write, as long as the video.
    options: how; its defaults without.
    say: told in words what is being done.
    progress: called with (frames written, frames in all) of each video.

  Returns:
    What was written, for each source. The sound is `audio`, else the mouth driver's, else the common driver's, cut to
    the video's length.

  Raises:
    UserError: in one line, on a bank that the model lacks, no driver at all, or a file that is not there.
    data_pipeline.errors.DataError: on a file that cannot be read or shows no face.
  """
  weights, options = weights or {}, options or Options()
  paths = [source] if isinstance(source, str) else list(source)
  outs = _outputs(paths, out, several=not isinstance(source, str))
  heard = audio is not None and driver is None and 'mouth' not in drivers and 'mouth' not in weights
  assigned = drivers_lib.assign(model, drivers, driver, (*weights, 'mouth') if heard else tuple(weights))
  drivers_lib.missing([*paths, *assigned.values(), *([audio] if audio else [])])
  detector = framing.find_faces() if options.crop else None
  finish = [Upscaler(options.upscale, options.upscale_signed)] if options.upscale else []
  opened = [sources.read(model, path, detector, options, *finish) for path in paths]
  motion = {**read_motion(model, assigned, set(drivers), detector, options, say), **weights}
  if heard:
    motion |= drivers_lib.hear(model, audio, options.fps)
  motion = _aligned(motion, [each.frames for each in opened if each.frames], options)
  count = len(next(iter(motion.values())))
  if save_motion is not None:
    motion_file.write(save_motion, motion, model, options.fps)
  done = []
  for each, target in zip(opened, outs, strict=True):
    say(f'painting {count} frames of {each.path}')
    sound = _sound(audio, assigned.get('mouth'), driver)
    frames = ahead(each.painted(motion), 2 * model.batch_size)
    written = media.write_video(target, _counted(frames, count, progress), options.fps, sound, AUDIO_RATE)
    done.append(Animated(target, written, written / options.fps, sound is not None))
  return done


def read_motion(
  model: Model,
  assigned: Mapping[str, str],
  named: Collection[str],
  detector: tracking.Detector | None,
  options: Options,
  say: Say,
) -> Motion:
  """Returns bank name -> float32[frames, size], each as long as its driver; one pass, however many banks it drives."""
  motion = {}
  for path in sorted(set(assigned.values())):
    say(f'reading the motion of {path}')
    banks = {bank: bank in named for bank in assigned if assigned[bank] == path}
    motion.update(drivers_lib.read(model, path, banks, detector, options.fps))
  return motion


def _aligned(motion: Motion, source_lengths: Sequence[int], options: Options) -> Motion:
  """Brings all banks to one length, and smooths them."""
  lengths = {bank: len(values) for bank, values in motion.items()}
  count = timeline.common_length(lengths, options.extend, source_lengths)
  motion = {
    bank: values if len(values) == count else values[timeline.extended(len(values), count, options.extend)]
    for bank, values in motion.items()
  }
  return timeline.smoothed(motion, options.smooth)


def _outputs(paths: Sequence[str], out: str, several: bool) -> list[str]:
  """Returns where each source's video goes."""
  if not several:
    return [os.fspath(out)]
  names = [pathlib.Path(path).stem for path in paths]
  if twice := {name for name in names if names.count(name) > 1}:
    raise UserError(f'--source: {min(twice)} is the name of two files, whose videos would be one')
  return [str(pathlib.Path(out) / f'{name}.mp4') for name in names]


def _sound(*choices: str | None) -> media.AudioReader | None:
  """Returns a reader of the sound of the first file that is named, if it has any."""
  path = next((path for path in choices if path is not None), None)
  if path is None or drivers_lib.kind(path) not in ('video', 'sound'):
    return None
  reader = media.AudioReader(path, AUDIO_RATE)
  return reader if reader.found and len(reader.take(0, 1)) else None


def _counted(frames: Iterator[np.ndarray], total: int, progress: Progress) -> Iterator[np.ndarray]:
  for number, frame in enumerate(frames, start=1):
    yield frame
    progress(number, total)
