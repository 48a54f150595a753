"""One synthetic clip: a pure function of (plan, number)."""

import dataclasses
import io

import numpy as np
from PIL import Image

from data_pipeline import cropping, identities
from data_pipeline.audio_features import mel_spectrogram
from data_pipeline.datasets import schema
from data_pipeline.synthetic import exact, factors, identity, manner, motion, render, speech

JPEG_QUALITY = 92  # as prepared clips
_MEL_STEP = 1 / 1024  # absorbs the last bits of the Fourier transform, which differ between machines
# An emotion's level (MEAD's 1 to 3) is its strength in thirds.
_WEAKEST, _STRONGEST = 0.35, 1.0


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a data set holds.

  Attributes:
    clips: how many.
    size: side of the frames in pixels.
    seed: of everything.
    people: how many; clip k shows person k modulo `people`.
    frames: of each clip.
    framing: how large heads are; 1 shows hair and shoulders, 1.4 fills the picture with the face.
    articulation: how wide mouths open when they speak; 1 as in ordinary speech. No jaw opens further than it can.
    prosody: how much of an emotion is heard in the voice, from 0 to 1 (`manner`).
    expressiveness: how far faces move when they feel; factors of expression go up to it.
    sway: how much heads move and turn; 1 as in talk, 0.4 as before a camera in a studio.
    swing: how much of an emotion's strength comes and goes within a clip, from 0 to 1 (`motion.course`).
  """

  clips: int
  size: int
  seed: int = 0
  people: int = 1
  frames: int = 75
  framing: float = 1.0
  articulation: float = 1.0
  prosody: float = 0.0
  expressiveness: float = 1.0
  sway: float = 1.0
  swing: float = 0.0

  def __post_init__(self):
    for name, least in (('clips', 1), ('size', 32), ('people', 1), ('frames', 5)):
      if getattr(self, name) < least:
        raise ValueError(f'{name} must be at least {least}, got {getattr(self, name)}')
    ranges = {
      'framing': (0.5, 1.5),
      'articulation': (0.0, 3.0),
      'prosody': (0.0, 1.0),
      'expressiveness': (0.0, 3.0),
      'sway': (0.0, 1.0),
      'swing': (0.0, 1.0),
    }
    for name, (least, most) in ranges.items():
      if not least <= getattr(self, name) <= most:
        raise ValueError(f'{name} must be between {least} and {most}, got {getattr(self, name)}')
    if self.people > self.clips:
      raise ValueError(f'clips must be at least the number of people, {self.people}, got {self.clips}')
    if self.size % 2:
      raise ValueError(f'size must be even, got {self.size}')

  def splits(self) -> dict[str, list[int]]:
    """Returns split -> numbers of its clips; a person is in one split only."""
    homes = identities.assign_splits([identities.Label(person_name(k)) for k in range(self.people)], {})
    groups = {
      split: [k for k in range(self.clips) if homes[person_name(k % self.people)] == split]
      for split in identities.SPLITS
    }
    return {split: numbers for split, numbers in groups.items() if numbers}


@dataclasses.dataclass(frozen=True)
class Take:
  """A clip before it is drawn.

  Attributes:
    number: in the plan.
    person: who.
    emotion, strength: how they feel.
    speech: what they say.
    track: float32[frames, len(factors.NAMES)].
  """

  number: int
  person: identity.Identity
  emotion: str
  strength: float
  speech: speech.Speech
  track: np.ndarray

  @property
  def name(self) -> str:
    """Unique name, in MEAD's manner: person, emotion, level, number."""
    return f'{self.person.name}#{self.emotion}#level_{self.level}#{self.number:05d}'

  @property
  def level(self) -> int:
    """1 to 3, as MEAD counts; neutral is level 1."""
    if self.emotion == 'neutral':
      return 1
    return min(3, 1 + int(3 * (self.strength - _WEAKEST) / (_STRONGEST - _WEAKEST)))


def person_name(number: int) -> str:
  """Returns the name of a person, the `identity` of records."""
  return f'head{number:04d}'


def take(plan: Plan, number: int) -> Take:
  """Returns clip `number` of a plan, not yet drawn; it does not depend on `plan.clips` or `plan.size`."""
  if not 0 <= number < plan.clips:
    raise ValueError(f'number must be in [0, {plan.clips}), got {number}')
  who, turn = number % plan.people, number // plan.people
  person = identity.draw(plan.seed, who)
  emotion = _emotion(plan, number)
  stream = exact.Stream(plan.seed, 'clip', who, turn)
  strength = stream.uniform(_WEAKEST, _STRONGEST)
  how = manner.voice(emotion, plan.prosody * strength) if plan.prosody else None
  said = speech.speak(stream, plan.frames, *person.voice, how)
  course = motion.course(exact.Stream(plan.seed, 'course', who, turn), plan.frames)
  track = motion.track(
    stream, said, emotion, strength * (1 - plan.swing * (1 - course)), plan.sway, plan.expressiveness
  )
  track[:, factors.COLUMN['zoom']] *= plan.framing
  opening = track[:, factors.COLUMN['opening']]
  opening[:] = np.minimum(plan.articulation * opening, 1)
  return Take(number, person, emotion, strength, said, track)


def transcript(plan: Plan, number: int) -> str:
  """Returns words for a clip, see `manner.transcript`; they do not change what is heard."""
  who, turn = number % plan.people, number // plan.people
  return manner.transcript(exact.Stream(plan.seed, 'transcript', who, turn), _emotion(plan, number))


def _emotion(plan: Plan, number: int) -> str:
  """A person's first clip is neutral; the others go through all emotions, beginning at a random one."""
  who, turn = number % plan.people, number // plan.people
  first = exact.Stream(plan.seed, 'emotions', who).integer(len(factors.EMOTIONS))
  return 'neutral' if turn == 0 else factors.EMOTIONS[(first + turn) % len(factors.EMOTIONS)]


def draw(shot: Take, size: int) -> list[render.Frame]:
  """Renders all frames of a clip."""
  renderer = render.Renderer(shot.person, size)
  return [renderer.render(state) for state in shot.track]


def record(shot: Take, frames: list[render.Frame], size: int) -> schema.Record:
  """Returns the record of a clip and its frames of side `size`."""
  landmarks = np.stack([frame.landmarks for frame in frames])
  jpeg, ends = schema.join_jpeg([cropping.encode_jpeg(frame.image, JPEG_QUALITY) for frame in frames])
  masks, mask_ends = schema.join_jpeg([_png(frame.mask) for frame in frames])
  mel = mel_spectrogram(shot.speech.waveform.astype(np.float32) / 32768)
  return schema.Record(
    clip_id=f'{shot.name}#1',
    video_id=shot.name,
    identity=shot.person.name,
    emotion=shot.emotion,
    emotion_level=shot.level,
    size=size,
    jpeg=jpeg,
    jpeg_ends=ends,
    landmarks=landmarks,
    landmarks_valid=np.ones(len(frames), np.uint8),
    face_boxes=face_boxes(landmarks),
    crop_box=np.array([0, 0, size], np.float32),
    has_audio=True,
    waveform=shot.speech.waveform,
    mel=(np.rint(mel.astype(np.float64) / _MEL_STEP) * _MEL_STEP).astype(np.float32),
    truth=schema.Truth(
      factor_names=factors.NAMES,
      factors=shot.track,
      identity_factors=shot.person.vector(),
      masks=masks,
      mask_ends=mask_ends,
    ),
  )


def face_boxes(landmarks: np.ndarray) -> np.ndarray:
  """Returns float32[n, 4]: left, top, right, bottom of the squares in which dlib's detector sees these faces.

  Its boxes are as wide as the face from brow to chin is high, and reach higher than that: measured on frontal frames.
  """
  inner = landmarks[:, 17:].astype(np.float64)
  left, right = inner[..., 0].min(1), inner[..., 0].max(1)
  top, bottom = inner[..., 1].min(1), landmarks[:, 8, 1].astype(np.float64)
  height = bottom - top
  x, y, half = (left + right) / 2, (top + bottom) / 2 - 0.105 * height, 0.51 * height
  return np.stack([x - half, y - half, x + half, y + half], -1).astype(np.float32)


def _png(mask: np.ndarray) -> bytes:
  stream = io.BytesIO()
  Image.fromarray(mask).save(stream, 'PNG', compress_level=1)
  return stream.getvalue()
