"""What the page does with what people give it; knows nothing of the page."""

import dataclasses
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Literal

from data_pipeline.errors import DataError
from edtalk_jax import animation
from edtalk_jax.animation import making
from edtalk_jax.animation.drivers import STILL, refuse_long
from edtalk_jax.animation.driving import Progress, Say
from edtalk_jax.animation.presets import BANK, NEUTRAL, Presets
from edtalk_jax.config import UserError
from edtalk_jax.model import Model, Motion

Follows = Literal['driver', 'sound', 'file', 'made', 'emotions', 'still']  # what a motion space may follow


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
  """What one visitor may ask for.

  Attributes:
    seconds: length of every file, and so of the result.
    megabytes: size of every file.
    waiting: how many may wait for their turn; one is served at a time.
    minutes: how long files are kept after they came or were made.

  Raises:
    UserError: in one line, on a value out of range.
  """

  seconds: float = 60
  megabytes: int = 100
  waiting: int = 8
  minutes: float = 60

  def __post_init__(self):
    """Checks every value."""
    for field in dataclasses.fields(self):
      if getattr(self, field.name) <= 0:
        raise UserError(f'--{field.name} {getattr(self, field.name)}: expected more than 0')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
  """What a visitor asks for. Paths are of uploaded files; '' stands for a file that was not given.

  Attributes:
    source: portrait, picture or video.
    driver: video that moves every space which follows 'driver'.
    audio: sound of the result, which moves the mouth if that follows 'sound'.
    follows: motion space -> what it follows; 'made' is motion that is made up for the sound. What follows a file that
      was not given stays as it is in the portrait.
    files: motion space -> its own driver, for what follows 'file'.
    text: what is said, for an expression that is made up for it.
    emotions: emotion -> strength above neutral, for what follows 'emotions'.
    options: how it is animated.
  """

  source: str
  driver: str = ''
  audio: str = ''
  follows: Mapping[str, Follows] = dataclasses.field(default_factory=dict)
  files: Mapping[str, str] = dataclasses.field(default_factory=dict)
  text: str = ''
  emotions: Mapping[str, float] = dataclasses.field(default_factory=dict)
  options: animation.Options = dataclasses.field(default_factory=animation.Options)


@dataclasses.dataclass(frozen=True)
class Made:
  """A result: an MP4, and its motion as a file (.npz)."""

  video: str
  motion: str
  done: animation.Animated


class Service:
  """A model at the service of visitors.

  Attributes:
    model: that paints.
    presets: its emotions, if it has any.
    makers: motion space -> run that makes up its motion for a sound; see `making.make`.
    folder: where uploaded files and results are, and nothing else.
    limits: of what is asked for.
  """

  def __init__(
    self,
    model: Model,
    folder: str | os.PathLike,
    limits: Limits | None = None,
    presets: Presets | None = None,
    makers: Mapping[str, str] | None = None,
  ):
    """Takes what `Attributes` names."""
    self.model, self.presets, self.limits, self.makers = model, presets, limits or Limits(), dict(makers or {})
    self.folder = pathlib.Path(folder).resolve()

  @property
  def emotions(self) -> tuple[str, ...]:
    """Names of the emotions that can be mixed; neutral is what they are mixed into."""
    return tuple(name for name in self.presets.emotions if name != NEUTRAL) if self.presets else ()

  def make(self, job: Job, say: Say = lambda line: None, progress: Progress = lambda done, total: None) -> Made:
    """Animates a portrait, as `edtalk animate` does.

    Raises:
      UserError: in one line, in which files go by the names that the visitor knows.
    """
    if not job.source:
      raise UserError('Give a portrait first.')
    paths = [path for path in (job.source, job.driver, job.audio, *job.files.values()) if path]
    self._check_uploaded(paths)
    folder = tempfile.mkdtemp(prefix='result_', dir=self.folder)
    try:
      refuse_long(paths, self.limits.seconds)
      return self._animated(job, folder, lambda line: say(without_folders(line, paths)), progress)
    except (UserError, DataError) as error:
      shutil.rmtree(folder, ignore_errors=True)
      raise UserError(without_folders(str(error), paths)) from None
    except BaseException:
      shutil.rmtree(folder, ignore_errors=True)
      raise

  def _animated(self, job: Job, folder: str, say: Say, progress: Progress) -> Made:
    drivers, weights = self._drivers(job) | self._made_up(job, folder), self._weights(job)
    heard = job.audio and job.follows.get('mouth') == 'sound'
    if heard:
      del drivers['mouth']  # the sound drives what nothing else does
    elif not weights and set(drivers.values()) == {STILL}:
      what = 'a driving video or a sound' if self.model.hears else 'a driving video'
      raise UserError(f'Nothing moves the portrait: give {what}.')
    video, motion = os.path.join(folder, 'animation.mp4'), os.path.join(folder, 'motion.npz')
    # All spaces have their drivers; the common one gives the sound where there is no other.
    driver = job.driver if job.driver and not job.audio else None
    [done] = animation.animate(
      self.model,
      job.source,
      drivers,
      video,
      driver=driver,
      audio=job.audio or None,
      weights=weights,
      save_motion=motion,
      options=job.options,
      say=say,
      progress=progress,
    )
    return Made(video, motion, done)

  def _drivers(self, job: Job) -> dict[str, str]:
    """Returns motion space -> file that drives it, or `STILL`; without those that are given weights."""
    choices = {
      'driver': lambda bank: job.driver,
      'sound': lambda bank: job.driver,  # where there is no sound
      'file': lambda bank: job.files.get(bank),
      'made': lambda bank: None,  # so far
      'still': lambda bank: None,
    }
    follows = {bank: job.follows.get(bank, 'still') for bank in self.model.banks}
    return {bank: choices[what](bank) or STILL for bank, what in follows.items() if what != 'emotions'}

  def _made_up(self, job: Job, folder: str) -> dict[str, str]:
    """Returns motion space -> file of motion that is made up for the sound, of those that follow it."""
    runs = {bank: run for bank, run in self.makers.items() if job.follows.get(bank) == 'made'}
    sound = job.audio or job.driver
    if not runs or not sound:
      return {}
    return making.drivers(sound, folder, runs, job.source, crop=job.options.crop, text=job.text)

  def _weights(self, job: Job) -> Motion:
    """Returns the weights of the emotions, if the expression follows them."""
    if job.follows.get(BANK) != 'emotions':
      return {}
    if self.presets is None:
      raise UserError('This model has no emotions yet; edtalk extract-presets makes them.')
    parts = [f'{name}:{strength:.2f}' for name, strength in job.emotions.items() if strength]
    return {BANK: self.presets.mix('+'.join(parts) or NEUTRAL)}

  def _check_uploaded(self, paths: Sequence[str]) -> None:
    """Raises UserError on a file that was not uploaded: no visitor names other files of this machine."""
    for path in paths:
      name = os.path.basename(path)
      if not pathlib.Path(path).resolve().is_relative_to(self.folder):
        raise UserError(f'{name}: was not uploaded')
      if not os.path.exists(path):
        raise UserError(f'{name}: was deleted after {self.limits.minutes:g} minutes; upload it again')

  def sweep(self) -> int:
    """Deletes files older than `limits.minutes`, and folders that are empty by then. Returns how many files."""
    oldest, count = time.time() - 60 * self.limits.minutes, 0
    for folder, _, names in os.walk(self.folder, topdown=False):
      for name in names:
        path = os.path.join(folder, name)
        if os.path.getmtime(path) < oldest:
          os.unlink(path)
          count += 1
      if folder != str(self.folder) and os.path.getmtime(folder) < oldest and not os.listdir(folder):
        os.rmdir(folder)
    return count


def without_folders(text: str, paths: Sequence[str]) -> str:
  """Returns a message in which files go by their names: where they are kept is no visitor's business."""
  for path in paths:
    text = text.replace(path, os.path.basename(path))
  return text
