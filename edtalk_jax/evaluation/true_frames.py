"""Rendered data knows what a driven frame should look like: the portrait's person with another clip's factors."""

import io
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import PIL.Image

from data_pipeline import cropping
from data_pipeline.datasets.synthetic import PLAN_FILE
from data_pipeline.synthetic import factors, identity, render
from data_pipeline.synthetic.clip import JPEG_QUALITY

GROUPS = {'mouth': factors.MOUTH, 'pose': factors.POSE, 'expression': factors.EXPRESSION}
"""Factors that belong to each motion space. Gaze and blinks are in none."""


class TrueFrames:
  """Renders clips of a synthetic data set again, with factors of other clips.

  Args:
    seed: of the data set.
  """

  def __init__(self, seed: int):
    self._seed = seed
    self._renderers: dict[tuple[str, int], render.Renderer] = {}

  def render(self, clip, states: np.ndarray, size: int) -> list[render.Frame]:
    """Renders the person of a clip.

    Args:
      clip: `data_pipeline.records.Clip`.
      states: float[frames, len(factors.NAMES)].
      size: side of the frames in pixels; made as `Clip.frame` makes them from the records' size.

    Returns:
      Frames with image and mask of this size; landmarks are those of the records' size. Pictures went through JPEG as
      those of the records did, which at 64 pixels moves a value by 3 grey levels on average.
    """
    stored = clip.record.size
    key = clip.identity, stored
    if key not in self._renderers:
      self._renderers = {key: render.Renderer(person(self._seed, clip), stored)}  # one at a time: 10 MB each at 256 px
    frames = [self._renderers[key].render(state) for state in states]
    return [
      render.Frame(_resized(_stored(f.image), size, 'BILINEAR'), f.landmarks, _resized(f.mask, size, 'NEAREST'))
      for f in frames
    ]


def find(clips) -> TrueFrames | None:
  """Returns the renderer of a data set that `edtalk make-synthetic` wrote; None for any other.

  Checks on the first clip that the person drawn from the stored seed is the one in the record, so that records of
  another version of the renderer's identities are not compared with the wrong faces.

  Args:
    clips: `data_pipeline.records.Clips`.
  """
  folder = getattr(clips, 'folder', None)
  if folder is None or not len(clips) or clips[0].factors is None:
    return None
  for parent in [pathlib.Path(folder), *pathlib.Path(folder).parents[:2]]:
    seed = _seed(parent / PLAN_FILE)
    if seed is not None:
      known = clips[0].record.truth.identity_factors
      return TrueFrames(seed) if np.array_equal(person(seed, clips[0]).vector(), known) else None
  return None


def person(seed: int, clip) -> identity.Identity:
  """Returns the person whom a synthetic clip shows."""
  return identity.draw(seed, int(clip.identity.removeprefix('head')))


def state(clip, index: int) -> np.ndarray:
  """Returns what frame `index` was rendered from, float32[len(factors.NAMES)]."""
  return np.array([clip.factors[name][index] for name in factors.NAMES], np.float32)


def mixed(portrait: np.ndarray, drivers: Mapping[str, np.ndarray]) -> np.ndarray:
  """Returns float32[frames, factors]: the portrait's factors, but for those of the driven spaces.

  Args:
    portrait: float32[factors].
    drivers: space -> float32[frames, factors]; its `GROUPS` are taken, of 'motion' (one undivided space) all factors.
  """
  states = np.repeat(portrait[None], len(next(iter(drivers.values()))), axis=0)
  for space, driver in drivers.items():
    columns = [factors.COLUMN[name] for name in GROUPS.get(space, factors.NAMES)]
    states[:, columns] = driver[:, columns]
  return states


def states(clip, indices: Sequence[int]) -> np.ndarray:
  """Returns float32[frames, factors] of several frames of a clip."""
  return np.stack([state(clip, index) for index in indices])


def _seed(path: str | os.PathLike) -> int | None:
  try:
    return int(json.loads(pathlib.Path(path).read_text(encoding='utf-8'))['seed'])
  except (OSError, ValueError, KeyError, TypeError):
    return None


def _stored(image: np.ndarray) -> np.ndarray:
  return np.asarray(PIL.Image.open(io.BytesIO(cropping.encode_jpeg(image, JPEG_QUALITY))))


def _resized(array: np.ndarray, size: int, how: str) -> np.ndarray:
  if len(array) == size:
    return array
  return np.asarray(PIL.Image.fromarray(array).resize((size, size), PIL.Image.Resampling[how]))
