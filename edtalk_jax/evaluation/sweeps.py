"""Pictures in which one thing changes and all else is held: a motion space, or a factor of a rendered driver."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from data_pipeline.synthetic import factors
from edtalk_jax.evaluation import protocols
from edtalk_jax.evaluation.true_frames import TrueFrames
from edtalk_jax.model import Model, Source

STEPS = np.linspace(-2.0, 2.0, 7)  # standard deviations; the portrait itself in the middle
# Factor -> its values; the face is neutral otherwise.
FACTORS = {
  'opening': np.linspace(0, 1, 7),
  'width': np.linspace(-1, 1, 7),
  'yaw': np.linspace(-24, 24, 7),
  'pitch': np.linspace(-12, 12, 7),
  'inner_brow': np.linspace(0, 1, 7),
  'smile': np.linspace(0, 1, 7),
}


@dataclasses.dataclass(frozen=True)
class Sweep:
  """One portrait under every sweep; uint8[frames, size, size, 3] each."""

  identity: str
  portrait: np.ndarray  # [size, size, 3]
  spaces: dict[str, np.ndarray]  # space -> generated
  driver: str  # identity of the rendered driver; '' without
  factors: dict[str, tuple[np.ndarray, np.ndarray]]  # factor -> driver, generated with all its motion


def sweep(
  model: Model,
  clips: Sequence,
  pairs: Sequence[protocols.Pair],
  weights: Mapping[str, np.ndarray],
  people: Sequence[str],
  true: TrueFrames | None,
) -> list[Sweep]:
  """Returns the pictures of some portraits.

  Args:
    model: that paints.
    clips: `data_pipeline.records.Clips`.
    pairs: portraits, and the persons who drive them in rendered sweeps.
    weights: of frames of the data, space -> float[frames, size].
    people: identity of each of these frames.
    true: renders the drivers; None: no sweeps of factors.
  """
  directions = {space: principal_direction(values, people) for space, values in weights.items()}
  done = []
  for pair in pairs:
    portrait, driver = clips[pair.portrait], clips[pair.driver]
    picture = portrait.frame(0, model.image_size)
    source = model.encode(picture)
    spaces = {
      space: model.generate(source, {space: source.motion[space] + STEPS[:, None] * direction})
      for space, direction in directions.items()
    }
    factor_strips = {} if true is None else factor_sweeps(model, source, driver, true)
    done.append(Sweep(portrait.identity, picture, spaces, driver.identity if factor_strips else '', factor_strips))
  return done


def factor_sweeps(model: Model, source: Source, driver, true: TrueFrames) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Returns factor -> (rendered driver, portrait that takes all its motion), uint8[frames, size, size, 3] both.

  Args:
    model: that paints.
    source: the portrait.
    driver: a clip of the person who is rendered.
    true: renders it.
  """
  strips = {}
  for name, values in FACTORS.items():
    states = factors.neutral(len(values)).astype(np.float32)
    states[:, factors.COLUMN[name]] = values
    shown = np.stack([frame.image for frame in true.render(driver, states, model.image_size)])
    strips[name] = shown, model.generate(source, model.motion(shown))
  return strips


def principal_direction(weights: np.ndarray, people: Sequence[str]) -> np.ndarray:
  """Returns the direction in which weights[frames, size] vary most about each person's mean, float64[size].

  Its length is the standard deviation along it; its largest coordinate is positive.
  """
  _, person, count = np.unique(np.asarray(people), return_inverse=True, return_counts=True)
  means = np.zeros((len(count), weights.shape[1]))
  np.add.at(means, person, weights)
  deviations = weights - (means / count[:, None])[person]
  _, lengths, directions = np.linalg.svd(deviations, full_matrices=False)
  direction = directions[0] * lengths[0] / np.sqrt(max(1, len(weights) - len(count)))
  return direction * (np.sign(direction[np.abs(direction).argmax()]) or 1.0)
