"""Motion made up for a sound, as a motion file: head pose by a pose flow, expression by what is said and how."""

import collections
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from data_pipeline import audio_features, media, semantics
from data_pipeline.mel_statistics import MelStatistics
from data_pipeline.mel_stream import MelStream
from edtalk_jax.animation import framing, motion_file, pose_sampling
from edtalk_jax.config import UserError
from edtalk_jax.model import Model, Motion
from edtalk_jax.stages import audio_to_pose, semantic_expression
from edtalk_jax.training import extraction, hand_off
from edtalk_jax.training.hand_off import Restored

_BLOCK = 25  # frames whose sound is looked at together


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """How motion is made.

  Attributes:
    source: portrait whose pose the head leaves; '': it leaves the mean pose.
    crop: find its face and frame it as in training (needs the extra `faces`).
    text: what is said, for the expression.
    seed: of the head's motion.
    temperature: of the head's motion, see `pose_sampling.sample`.
  """

  source: str = ''
  crop: bool = True
  text: str = ''
  seed: int = 0
  temperature: float = pose_sampling.TEMPERATURE

  def __post_init__(self):
    """Raises UserError on a value out of range."""
    if not 0 <= self.temperature <= 2:
      raise UserError(f'--temperature {self.temperature}: expected 0 to 2')


def make(audio: str, out: str | os.PathLike, *, pose: str = '', expression: str = '', settings: Settings) -> Motion:
  """Writes a motion file for a sound, 25 frames a second, and returns what is in it.

  The sound is held a few seconds at a time.

  Args:
    audio: sound file, or a video with sound.
    out: ends in `.npz`.
    pose: run of stage audio_to_pose.
    expression: run of stage semantic_expression.
    settings: how.

  Raises:
    UserError, data_pipeline.errors.DataError: in one line, on a run or file that is missing or of another kind.
  """
  sound, motion, readers = _Sound(media.read_sound(audio)), {}, {}
  if pose:
    flow = _open(pose, 'audio_to_pose')
    readers[audio_to_pose.BANK] = _reader(pose, flow)
    motion[audio_to_pose.BANK] = _pose(flow, sound, readers[audio_to_pose.BANK], settings)
  else:
    collections.deque(sound.windows(), maxlen=0)
  if not sound.frames:
    raise UserError(f'{audio}: holds no sound of 40 ms or more')
  if expression:
    semantic = _open(expression, 'semantic_expression')
    readers[semantic_expression.BANK] = _reader(expression, semantic)
    weights = predict(semantic, sound.statistics.result(), settings.text)
    motion[semantic_expression.BANK] = np.repeat(weights[None], sound.frames, axis=0)
  _write(out, motion, readers)
  return motion


def drivers(sound: str, folder: str, runs: Mapping[str, str], portrait: str, **settings) -> dict[str, str]:
  """Returns motion space -> motion file in `folder`, made for `sound` by the runs of these spaces.

  Args:
    sound: sound file, or a video with sound.
    folder: must exist.
    runs: space -> run that makes up its motion, at least one.
    portrait: whose pose the head leaves, if it is a picture and not a video.
    settings: further ones of `Settings`.

  Raises:
    UserError, data_pipeline.errors.DataError: as `make`.
  """
  file = os.path.join(folder, 'made_up.npz')
  source = portrait if framing.is_picture(portrait) else ''
  make(sound, file, **runs, settings=Settings(source=source, **settings))
  return dict.fromkeys(runs, file)


class _Sound:
  """The sound of a file, in pieces float32[samples], each of which is looked at once.

  Attributes:
    frames: video frames that were heard.
    statistics: of all that was heard.
  """

  def __init__(self, samples: Iterable[np.ndarray]):
    self._samples, self.frames, self.statistics = samples, 0, MelStatistics()

  def windows(self) -> Iterator[np.ndarray]:
    """Yields the mel windows float32[n, 80, 16] of consecutive frames."""
    for block in self._blocks():
      own = [window[:, audio_features.new_columns(self.frames + k)] for k, window in enumerate(block)]
      self.statistics.feed(np.concatenate(own, axis=1).T)
      self.frames += len(block)
      yield block

  def _blocks(self) -> Iterator[np.ndarray]:
    stream = MelStream(_BLOCK)
    for samples in self._samples:
      yield from stream.feed(samples)
    yield from stream.finish()


def predict(semantic: Restored, sound: np.ndarray, text: str) -> np.ndarray:
  """Expression weights float32[size] of a sound's statistics and of words; '' if they are not known.

  Raises:
    UserError: if the run learned from the features of other networks.
  """
  settings = semantic.config.semantic
  if settings.audio or settings.text.endswith('.npz'):
    raise UserError(
      'the run of semantic_expression learned from precomputed features; only runs on built-in features '
      'can be given a sound'
    )
  module = semantic_expression.network(semantic.config)
  known = np.array([[1, bool(text.strip())]], np.float32)
  bind = {'params': semantic.params['semantic']}
  found = module.apply(bind, sound[None], semantics.hashed_text(text)[None], known)
  return np.asarray(module.apply(bind, found, method='restore'))[0]


def _pose(flow: Restored, sound: _Sound, reader: Model, settings: Settings) -> np.ndarray:
  module, params = audio_to_pose.network(flow.config), flow.params['flow']
  first = np.asarray(params['mean'])
  if settings.source:
    detector = framing.find_faces() if settings.crop else None
    portrait = framing.portrait(settings.source, reader.image_size, detector).crop
    first = reader.motion(portrait[None])[audio_to_pose.BANK][0]
  heard = (np.asarray(audio_to_pose.features(windows)) for windows in sound.windows())
  return pose_sampling.sample(module, params, heard, first, settings.seed, temperature=settings.temperature)


def _open(workdir: str, stage: str) -> Restored:
  restored = hand_off.read_run(workdir)
  if restored.config.run.stage != stage:
    raise UserError(f'{workdir}: a run of stage {restored.config.run.stage}, expected {stage}')
  return restored


def _reader(workdir: str, run: Restored) -> Model:
  """The model whose weights a run has learned to make, which says what they mean: as it read them, not an average."""
  opened = extraction.reader(workdir, run.config, run.path.parents[1])
  found = hand_off.read_opened(opened, raw=True)
  return Model(found.config, found.params, step=opened.step)


def _write(out: str | os.PathLike, motion: Motion, readers: dict[str, Model]) -> None:
  """Writes the file; all banks must be of one model's spaces."""
  last = [*readers.values()][-1]  # of the latest stage, which has the earlier one's banks too
  for bank, reader in readers.items():
    if reader.spaces[bank] != last.spaces.get(bank):
      raise UserError(f'the {bank} of both runs is not of the same model; train them with the same data.motion')
  motion_file.write(out, motion, last, media.FPS)
