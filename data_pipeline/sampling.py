"""Which frames of which clips make training example i: a pure function of (seed, i) and the data set.

One epoch visits every usable clip once, in an order that is a keyed permutation computed point by point, so that any
position is found in constant time and memory. A sampler is data: later stages add theirs to `SAMPLERS`.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from data_pipeline import one_person, semantics, sequences, transforms, windows
from data_pipeline.errors import CorruptRecord, DataError
from data_pipeline.motion import Motion
from data_pipeline.records import Clip, ClipInfo, Clips

_MASK = (1 << 64) - 1
_SUBSTITUTES = 64  # draws in the place of one that met a corrupt record; then it is more than an accident
_UNMOVED = ('', 'neutral')  # emotions of clips that are left with emotions=neutral
_ROUNDS = 4  # of the Feistel network; four give a strong pseudo-random permutation (Luby & Rackoff, 1988)


@dataclasses.dataclass(frozen=True)
class Options:
  """What an example looks like, apart from which frames it holds.

  Attributes:
    size: side of the images in pixels.
    mouth_canvas: see `transforms.swap_mouth`.
    skip_corrupt: whether another draw takes the place of one that meets a corrupt record.
    motion: folder of motion weights (`motion.folder_of`), '' for none.
    home: folder of the records, beside which tables may lie.
    frames: length of sequences.
    audio_features, text_features: see `semantics`.
    from_neutral: whether expressions count from those of the person's neutral clips.
    drop: probabilities of learning without sound, without words.
    identity: the person, for samplers of one; '' for the only one that there is.
    landmarks: whether examples hold the landmarks of their targets: `target_landmarks` and the like, float32[68, 2] in
      pixels, infinity where none were found.
    emotions: 'neutral' leaves out clips that are labelled with another emotion; 'all' does not.
  """

  size: int
  mouth_canvas: int = 0
  skip_corrupt: bool = False
  motion: str = ''
  home: str = ''
  frames: int = 0
  audio_features: str = ''
  text_features: str = ''
  from_neutral: bool = False
  drop: tuple[float, float] = (0.0, 0.0)
  identity: str = ''
  landmarks: bool = False
  emotions: str = 'all'


class Draw(NamedTuple):
  """The random part of one example.

  Attributes:
    clip: number of the clip that the epoch's order gives.
    rng: for every further choice.
  """

  clip: int
  rng: np.random.Generator


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How examples of one stage are made.

  Attributes:
    name: as in `SAMPLERS`.
    fields: image fields of an example, uint8[size, size, 3]. Other arrays are described where they are used, by a
      training stage. Besides, each example has its position `index`, int64;
      `origin`, str[pictures], the frames that it is made of as 'source=clip:frame'; and `corrupt`, a str that names the
      corrupt records whose place it takes, '' where there are none.
    usable: whether a clip can begin an example.
    example: makes the fields from (population, draw, options).
    motion: banks whose weights examples hold, from `Population.motion`.
    one_person: whether it keeps to one person, `Options.identity`.
  """

  name: str
  fields: tuple[str, ...]
  usable: Callable[[ClipInfo], bool]
  example: Callable[['Population', Draw, Options], dict[str, np.ndarray]]
  motion: tuple[str, ...] = ()
  one_person: bool = False


class Population:
  """The clips of one split that a sampler uses.

  The first clips that fit `cache_bytes` stay in memory. An epoch visits each clip once, so that least-recently-used
  would throw out each clip just before it comes again; keeping a fixed part hits as often as its share of the data.

  `note` is told each clip before it is read. `motion` is the folder of motion weights, for samplers that hold them;
  `identity` and `emotions` are those of `Options`.

  Raises:
    DataError: if the split has none, or the sampler needs motion weights that are not there.
  """

  def __init__(
    self,
    clips: Clips,
    sampler: Sampler,
    cache_bytes: int = 0,
    note: Callable[[str], None] | None = None,
    motion: str = '',
    identity: str = '',
    emotions: str = 'all',
  ):
    self.clips, self._note = clips, note
    self._motion = _open_motion(motion, clips.split, sampler)
    self._cache: dict[int, Clip] = {}
    self._cache_left = cache_bytes
    self.infos: Sequence[ClipInfo] = clips.infos
    candidates = one_person.clips_of(self.infos, identity) if sampler.one_person else range(len(self.infos))
    self.usable = [
      k
      for k in candidates
      if sampler.usable(self.infos[k]) and (emotions == 'all' or self.infos[k].emotion in _UNMOVED)
    ]
    if not self.usable:
      left_out = '' if emotions == 'all' else f', of those that data.emotions={emotions} leaves'
      raise DataError(
        f'{clips.folder}: no clip of the split {clips.split!r} can be used by the sampler '
        f'{sampler.name!r} (of {len(self.infos)}){left_out}'
      )

  def clip(self, number: int) -> Clip:
    """Returns a clip, from memory or from the records."""
    if self._note is not None:
      self._note(self.infos[number].clip_id)
    if (cached := self._cache.get(number)) is not None:
      return cached
    clip = self.clips[number]
    if clip.nbytes <= self._cache_left:
      self._cache[number] = clip
      self._cache_left -= clip.nbytes
    return clip

  @property
  def motion(self) -> Motion:
    """The motion weights of the split's clips, for samplers that name banks."""
    assert self._motion is not None, 'the sampler names no banks'
    return self._motion

  @functools.cached_property
  def videos(self) -> dict[int, one_person.Video]:
    """The video of each usable clip."""
    return one_person.videos(self.infos, self.usable)

  @functools.cached_property
  def neutral(self) -> dict[str, list[int]]:
    """Neutral clips of each identity that has other emotions too."""
    emotions: dict[str, set[str]] = {}
    for info in self.infos:
      emotions.setdefault(info.identity, set()).add(info.emotion)
    both = {identity for identity, words in emotions.items() if 'neutral' in words and words - {'neutral', ''}}
    groups: dict[str, list[int]] = {}
    for k in self.usable:
      if self.infos[k].identity in both and self.infos[k].emotion == 'neutral':
        groups.setdefault(self.infos[k].identity, []).append(k)
    return groups

  @functools.cached_property
  def neutral_expression(self) -> dict[str, np.ndarray]:
    """Identity -> mean expression weights of their neutral clips, float32[size], of those in `neutral`.

    Clips whose pictures could not be read have no weights and do not count.
    """
    found = {}
    for identity, numbers in self.neutral.items():
      clips = [self.infos[k].clip_id for k in numbers if self.infos[k].clip_id in self.motion]
      if clips:
        found[identity] = np.mean([semantics.mean_expression(self.motion, clip) for clip in clips], 0, np.float32)
    return found

  @functools.cached_property
  def kinds(self) -> dict[bool, list[int]]:
    """Usable clips of identities that are (True) and are not (False) in `neutral`."""
    return {
      kind: [k for k in self.usable if (self.infos[k].identity in self.neutral) == kind] for kind in (True, False)
    }


def _open_motion(folder: str, split: str, sampler: Sampler) -> Motion | None:
  if not sampler.motion:
    return None
  if not folder:
    raise DataError(f'the sampler {sampler.name!r} needs motion weights: data.motion names the run that reads them')
  motion = Motion(folder, split)
  if missing := [bank for bank in sampler.motion if bank not in motion.sizes]:
    raise DataError(
      f'{folder}: no weights of {", ".join(missing)}, only of {", ".join(motion.sizes)}; data.motion '
      'must name a run of a later stage'
    )
  return motion


def make_example(
  population: Population, sampler: Sampler, seed: int, position: int, options: Options
) -> dict[str, np.ndarray]:
  """Returns example `position` (0, 1, ... without end) of the order that `seed` gives; see `Sampler.fields`.

  With `options.skip_corrupt`, a draw that meets a corrupt record is made again from the numbers that follow for this
  position. So it is a function of seed, position and the records as they are, whichever process makes it.

  Raises:
    CorruptRecord: without `skip_corrupt`, or if every substitute meets one too.
  """
  corrupt: list[str] = []
  for attempt in range(1 + _SUBSTITUTES):
    try:
      example = sampler.example(population, _draw(population, sampler, seed, position, attempt), options)
      return {**example, 'index': np.int64(position), 'corrupt': np.array(' | '.join(corrupt))}
    except CorruptRecord as error:
      if not options.skip_corrupt:
        raise CorruptRecord(error.what, 'prepare the records again, or set data.on_corrupt=skip') from None
      corrupt += [error.what] * (error.what not in corrupt)
  raise CorruptRecord(
    f'example {position} and {_SUBSTITUTES} substitutes met corrupt records, the first: {corrupt[0]}',
    'prepare the records again',
  )


def _draw(population: Population, sampler: Sampler, seed: int, position: int, attempt: int) -> Draw:
  # The key holds seed and position, the counter's top words sampler and attempt, so that no two draws share a stream.
  counter = np.array([0, 0, attempt, zlib.crc32(sampler.name.encode())], np.uint64)
  key = np.array([seed & _MASK, position], np.uint64)
  rng = np.random.Generator(np.random.Philox(key=key, counter=counter))
  epoch, place = divmod(position, len(population.usable))
  if attempt:
    place = int(rng.integers(len(population.usable)))
  return Draw(population.usable[permute(place, len(population.usable), _mix(seed, epoch))], rng)


def permute(place: int, length: int, key: int) -> int:
  """Returns element `place` of a pseudo-random permutation of range(length), in constant time and memory.

  A balanced Feistel network on the smallest even number of bits that holds `length`; values outside are sent through
  again (cycle walking), on average fewer than four times.
  """
  if not 0 <= place < length:
    raise ValueError(f'place must be in [0, {length}), got {place}')
  half = max(1, ((length - 1).bit_length() + 1) // 2)
  mask = (1 << half) - 1
  value = place
  while True:
    left, right = value >> half, value & mask
    for round_ in range(_ROUNDS):
      left, right = right, left ^ (_mix(key + round_, right) & mask)
    value = left << half | right
    if value < length:
      return value


def _mix(key: int, value: int) -> int:
  """SplitMix64's finaliser over both numbers (Steele et al., 2014)."""
  z = (key * 0x9E3779B97F4A7C15 + value * 0xD1B54A32D192ED03 + 0x9E3779B97F4A7C15) & _MASK
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
  return z ^ (z >> 31)


def _any_clip(info: ClipInfo) -> bool:
  return info.frames > 0


def _with_landmarks(info: ClipInfo) -> bool:
  return info.valid_frames > 0


def _reconstruction(population: Population, draw: Draw, options: Options) -> dict[str, np.ndarray]:
  """Source and target of one person (training stage 0 of the official code).

  Where the person has neutral and emotional clips, the source is from a random neutral one and the target from the
  clip of the draw; otherwise both are frames of the same clip. Frames are drawn with replacement.
  """
  return _from_neutral(population, draw.clip, draw.rng, options)


def _expression(population: Population, draw: Draw, options: Options) -> dict[str, np.ndarray]:
  """Source and target as in `_reconstruction`, half of them of people who have neutral and emotional clips (ours).

  So a large set without emotions (HDTF) keeps natural speech in training without drowning a small one with them (MEAD).
  Where the toss asks for the other kind than the draw's, a random clip of that kind takes its place.
  """
  number, wanted = draw.clip, bool(draw.rng.integers(2))
  if all(population.kinds.values()) and wanted != (population.infos[number].identity in population.neutral):
    number = population.kinds[wanted][draw.rng.integers(len(population.kinds[wanted]))]
  return _from_neutral(population, number, draw.rng, options)


def _from_neutral(
  population: Population, number: int, rng: np.random.Generator, options: Options
) -> dict[str, np.ndarray]:
  clip = population.clip(number)
  group = population.neutral.get(clip.identity)
  source = clip
  if group:
    other = group[rng.integers(len(group))]
    source = clip if other == number else population.clip(other)
  return _pictures(
    {'source': (source, int(rng.integers(len(source)))), 'target': (clip, int(rng.integers(len(clip))))},
    options,
    ('target',),
  )


def _mouth_pose(population: Population, draw: Draw, options: Options) -> dict[str, np.ndarray]:
  """Two people (or one twice), each with an identity frame and a target frame, and the targets with mouths exchanged.

  Training stage 1 of the official code: a is the clip of the draw, b uniform over the clips. Frames are drawn with
  replacement among those with landmarks.
  """
  first = population.clip(draw.clip)
  other = population.usable[draw.rng.integers(len(population.usable))]
  second = first if other == draw.clip else population.clip(other)
  (source_a, target_a), (source_b, target_b) = _pair(first, draw.rng), _pair(second, draw.rng)
  frames = {
    'source_a': (first, source_a),
    'source_b': (second, source_b),
    'target_a': (first, target_a),
    'target_b': (second, target_b),
  }
  pictures = _pictures(frames, options, targets=('target_a', 'target_b'))
  a, landmarks_a = pictures['target_a'], first.landmarks(options.size)[target_a]
  b, landmarks_b = pictures['target_b'], second.landmarks(options.size)[target_b]
  swap = functools.partial(transforms.swap_mouth, canvas=options.mouth_canvas)
  return {
    **pictures,
    'target_a_mouth_b': swap(b, landmarks_b, a, landmarks_a),
    'target_b_mouth_a': swap(a, landmarks_a, b, landmarks_b),
  }


def _pair(clip: Clip, rng: np.random.Generator) -> tuple[int, int]:
  """Returns an identity frame and a target frame with landmarks."""
  valid = np.flatnonzero(clip.landmarks_valid)
  return int(valid[rng.integers(len(valid))]), int(valid[rng.integers(len(valid))])


def _personalize(population: Population, draw: Draw, options: Options, held_out: bool = False) -> dict[str, np.ndarray]:
  """Two frames of one video, both of its first part; `held_out`: the target of its last part."""
  video = population.videos[draw.clip]
  source = video.early[draw.rng.integers(len(video.early))]
  targets = video.late if held_out else video.early
  target = targets[draw.rng.integers(len(targets))]
  return _pictures(
    {name: (population.clip(place.clip), place.frame) for name, place in (('source', source), ('target', target))},
    options,
  )


def _pictures(
  frames: Mapping[str, tuple[Clip, int]], options: Options, targets: Sequence[str] = ()
) -> dict[str, np.ndarray]:
  """Decodes frames by field name, and says in `origin` which they are; with landmarks of the targets, if asked for."""
  origin = np.array([f'{name}={clip.clip_id}:{number}' for name, (clip, number) in frames.items()])
  marks = {f'{name}_landmarks': _marks(*frames[name], options.size) for name in targets} if options.landmarks else {}
  return {
    **{name: clip.frame(number, options.size) for name, (clip, number) in frames.items()},
    **marks,
    'origin': origin,
  }


def _marks(clip: Clip, number: int, size: int) -> np.ndarray:
  found = clip.landmarks(size)[number]
  return found.astype(np.float32) if clip.landmarks_valid[number] else np.full_like(found, np.inf, np.float32)


SAMPLERS = {
  sampler.name: sampler
  for sampler in (
    Sampler('reconstruction', ('source', 'target'), _any_clip, _reconstruction),
    Sampler(
      'mouth_pose',
      ('source_a', 'source_b', 'target_a', 'target_b', 'target_a_mouth_b', 'target_b_mouth_a'),
      _with_landmarks,
      _mouth_pose,
    ),
    Sampler('expression', ('source', 'target'), _any_clip, _expression),
    Sampler('pose_sequence', (), sequences.with_sound, sequences.pose_sequence, ('pose',)),
    Sampler('semantic_expression', (), semantics.any_clip, semantics.semantic_expression, ('expression',)),
    Sampler('sync_expert', (), windows.usable, windows.sync_expert),
    Sampler('audio_to_mouth', ('source',), windows.usable, windows.audio_to_mouth),
    Sampler('personalize', ('source', 'target'), _any_clip, _personalize, one_person=True),
    Sampler(
      'personalize_held_out',
      ('source', 'target'),
      _any_clip,
      functools.partial(_personalize, held_out=True),
      one_person=True,
    ),
  )
}


def get(name: str) -> Sampler:
  """Returns the sampler called `name`. Raises ValueError naming the known ones."""
  if name not in SAMPLERS:
    raise ValueError(f'sampler must be one of {", ".join(SAMPLERS)}, got {name!r}')
  return SAMPLERS[name]
