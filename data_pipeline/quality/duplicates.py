"""Finds clips of different files that show the same recording: copied, scaled, compressed again, or cut elsewhere.

Pictures that look alike are compared by their motion, since a person before one background looks the same in every
sentence and moves the same in none. Source: ours, after the usual perceptual hashes.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from data_pipeline.quality import synchrony

ALIKE = 10  # bits of 64 in which the pictures of copies may differ
# Correlations of the motion of copies: of all three tracks together, and of the one that agrees least. Of 14 known
# copies of real clips the first is 0.90 to 0.98, the second 0.56 and more. Of other takes one in 292 passes both.
SAME_MOTION, EVERY_TRACK = 0.85, 0.5
SHORTEST = 25  # frames that must be compared
_SHARE = 0.5  # of the shorter clip that the other must show, too

Motion = np.ndarray  # float64[n, 3]


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A clip that may be a copy.

  Attributes:
    clip: its name.
    video: what it was cut from. Clips of one video show different moments.
    picture_hash: `pictures.picture_hash`.
  """

  clip: str
  video: str
  picture_hash: int


@dataclasses.dataclass(frozen=True)
class Twin:
  """What a copy is a copy of.

  Attributes:
    clip: the name of the other.
    agreement: correlation of both motions.
    frames: that both show.
  """

  clip: str
  agreement: float
  frames: int

  @property
  def reason(self) -> str:
    """A line for the manifest."""
    return f'duplicate: of {self.clip}, {self.frames} frames with the same motion (correlation {self.agreement:.2f})'


def motion(landmarks: np.ndarray) -> Motion:
  """Returns float64[n, 3]: mouth opening and the nose's place in eye distances, freed of what changes slowly.

  Args:
    landmarks: float[n, 68, 2], pixels of any scale.
  """
  points = np.asarray(landmarks, np.float64)
  eyes = np.linalg.norm(points[:, 36:42].mean(axis=1) - points[:, 42:48].mean(axis=1), axis=-1)
  nose = points[:, 27:36].mean(axis=1) / max(float(np.median(eyes)), 1e-6)
  tracks = np.column_stack([synchrony.mouth_opening(points), nose])
  return np.stack([synchrony.without_slow(track) for track in tracks.T], axis=1)


def compare(one: Motion, other: Motion) -> tuple[float, int]:
  """Returns (the highest correlation over all shifts in time, the frames compared there).

  Only shifts count at which every track agrees, by `EVERY_TRACK`; (0, 0) if there are none, as in short clips.
  """
  best = (0.0, 0)
  least = max(SHORTEST, int(_SHARE * min(len(one), len(other))))
  for lag in range(least - len(other), len(one) - least + 1):
    begin, end = max(0, lag), min(len(one), lag + len(other))
    a, b = one[begin:end], other[begin - lag:end - lag]
    products, norms = (a * b).sum(axis=0), np.sqrt(np.square(a).sum(axis=0) * np.square(b).sum(axis=0))
    norm = np.sqrt(np.square(a).sum() * np.square(b).sum())
    if norm > 1e-9 and (products >= EVERY_TRACK * norms).all():
      best = max(best, (float(products.sum() / norm), end - begin))
  return best


def find(candidates: Sequence[Candidate], read: Callable[[str], Motion]) -> dict[str, Twin]:
  """Returns the clips that are copies of an earlier one in the sequence, and of which.

  Args:
    candidates: in an order that does not change from run to run: of copies the first is kept.
    read: gives the motion of a clip by its name; asked only for clips whose pictures look alike.
  """
  hashes = np.array([candidate.picture_hash for candidate in candidates], np.uint64)
  twins: dict[str, Twin] = {}
  motions: dict[str, Motion] = {}

  def known(clip: str) -> Motion:
    if clip not in motions:
      motions[clip] = read(clip)
    return motions[clip]

  for k, candidate in enumerate(candidates):
    for j in np.flatnonzero(np.bitwise_count(hashes[:k] ^ hashes[k]) <= ALIKE):
      other = candidates[j]
      if other.clip in twins or other.video == candidate.video:
        continue
      agreement, frames = compare(known(other.clip), known(candidate.clip))
      if agreement >= SAME_MOTION:
        twins[candidate.clip] = Twin(other.clip, agreement, frames)
        break
  return twins
