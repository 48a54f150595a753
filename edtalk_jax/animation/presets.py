"""Expression presets: what the expression space says, on average, when people feel something.

The released presets are such weights ('predefined_exp_weights'), and their neutral face is not zero: its norm is that
of the others. So a preset is applied as its difference from neutral, which makes a strength of 0 neutral and lets
several be mixed.
"""

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping

import numpy as np

from data_pipeline.records import Clip, Clips
from edtalk_jax.config import UserError
from edtalk_jax.model import Model

FILE = 'presets.json'  # in the run's folder
BANK = 'expression'
NEUTRAL = 'neutral'
_PART = re.compile(r'([a-z]+)(?::([+-]?\d*\.?\d+))?')


@dataclasses.dataclass(frozen=True)
class Preset:
  """One emotion.

  Attributes:
    mean: weights, averaged over the people's means.
    spread: standard deviation of the clips' weights.
    clips: how many there were.
    people: how many different ones.
  """

  mean: tuple[float, ...]
  spread: tuple[float, ...]
  clips: int
  people: int

  @property
  def radius(self) -> float:
    """Root mean square distance of the clips from their mean."""
    return float(np.linalg.norm(self.spread))


@dataclasses.dataclass(frozen=True)
class Presets:
  """The emotions of a data set as one model sees them.

  Attributes:
    step: of the model's parameters.
    data: fingerprint of the records.
    split: of the records.
    emotions: by name; NEUTRAL is among them.
  """

  step: int
  data: str
  split: str
  emotions: Mapping[str, Preset]

  def distance(self, name: str) -> float:
    """Returns how far an emotion is from neutral."""
    return float(np.linalg.norm(np.subtract(self.emotions[name].mean, self.emotions[NEUTRAL].mean)))

  def mix(self, text: str) -> np.ndarray:
    """Returns the weights of a mixture such as 'happy:0.7+surprised:0.3', float32[1, size].

    neutral + sum of strength * (emotion - neutral). A strength left out is 1.

    Raises:
      UserError: if the text is none, or names an emotion that is not there.
    """
    neutral = np.array(self.emotions[NEUTRAL].mean, np.float32)
    total = neutral.copy()
    for name, strength in parse(text).items():
      if name not in self.emotions:
        raise UserError(f'--expression {text}: no preset {name}, there are {", ".join(sorted(self.emotions))}')
      total += strength * (np.array(self.emotions[name].mean, np.float32) - neutral)
    return total[None]


def is_mixture(text: str) -> bool:
  """Whether `text` spells a mixture of presets, rather than a file."""
  return all(_PART.fullmatch(part) for part in text.split('+'))


def parse(text: str) -> dict[str, float]:
  """Reads 'happy:0.7+surprised:0.3'; an emotion named twice is added up. Raises UserError if it is no such text."""
  strengths: dict[str, float] = {}
  for part in text.split('+'):
    match = _PART.fullmatch(part)
    if match is None:
      raise UserError(f'--expression {text}: expected a file, or presets such as happy:0.7+surprised:0.3')
    strengths[match[1]] = strengths.get(match[1], 0.0) + float(match[2] or 1)
  return strengths


def extract(model: Model, clips: Clips, frames: int = 10) -> Presets:
  """Averages the expression weights of a split by emotion.

  Clips are averaged over evenly spaced frames, a person over their clips, an emotion over its people, so that neither
  long clips nor talkative people weigh more.

  Args:
    model: with an expression space.
    clips: of one split.
    frames: read of each clip.

  Raises:
    UserError: if the model has no expression space, or no clip is labelled neutral.
  """
  if BANK not in model.banks:
    raise UserError(f'the model has no expression space, only {", ".join(model.banks)}; train stage expression first')
  found: dict[str, dict[str, list[np.ndarray]]] = {}
  for clip, weights in _clip_weights(model, clips, frames):
    found.setdefault(clip.emotion, {}).setdefault(clip.identity, []).append(weights)
  if NEUTRAL not in found:
    raise UserError(
      f'{clips.folder}: no clip of the split {clips.split!r} is labelled {NEUTRAL}, from which strengths '
      f'count (emotions there: {", ".join(sorted(found)) or "none"})'
    )
  emotions = {name: _preset(people) for name, people in sorted(found.items())}
  return Presets(step=model.step, data=clips.fingerprint, split=clips.split, emotions=emotions)


def _clip_weights(model: Model, clips: Clips, frames: int) -> Iterator[tuple[Clip, np.ndarray]]:
  for number, info in enumerate(clips.infos):
    if not info.emotion or not info.frames:
      continue
    clip = clips[number]
    chosen = np.unique(np.linspace(0, len(clip) - 1, min(frames, len(clip))).round().astype(int))
    pictures = np.stack([clip.frame(int(k), model.image_size) for k in chosen])
    yield clip, model.motion(pictures)[BANK].mean(axis=0)


def _preset(people: Mapping[str, list[np.ndarray]]) -> Preset:
  clips = np.stack([weights for own in people.values() for weights in own])
  mean = np.mean([np.mean(own, axis=0) for own in people.values()], axis=0)
  return Preset(tuple(mean.tolist()), tuple(clips.std(axis=0).tolist()), len(clips), len(people))


def write(presets: Presets, folder: str | os.PathLike) -> pathlib.Path:
  """Writes presets.json into a run's folder, whole or not at all."""
  path = pathlib.Path(folder) / FILE
  temporary = path.with_suffix('.tmp')
  temporary.write_text(json.dumps(dataclasses.asdict(presets), indent=2) + '\n', encoding='utf-8')
  temporary.replace(path)
  return path


def read(folder: str | os.PathLike, model: Model) -> Presets:
  """Reads the presets of a run.

  Raises:
    UserError: if there are none, or they are of other parameters than the model's.
  """
  path = pathlib.Path(folder) / FILE
  again = f'edtalk extract-presets --model {folder} --data RECORDS makes them'
  try:
    values = json.loads(path.read_text(encoding='utf-8'))
    emotions = {name: Preset(**preset) for name, preset in values.pop('emotions').items()}
    presets = Presets(**values, emotions=emotions)
  except FileNotFoundError:
    raise UserError(f'{path}: no presets yet; {again}') from None
  except (ValueError, KeyError, TypeError, AttributeError):
    raise UserError(f'{path}: damaged; {again}') from None
  if presets.step != model.step:
    raise UserError(f'{path}: of step {presets.step}, the model is at step {model.step}; {again}')
  return presets
