"""Finds clips of different files that show the same recording: copied, scaled, compressed again, or cut elsewhere.

Pictures that look alike are compared by their motion, since a person before one background looks the same in every
sentence and moves the same in none. Whoever nods in two takes does not say the same at the same moments: a copy has the
same sound, too. Where there is none to compare, or another was put over it, every track of motion must agree.
Source: ours, after the usual perceptual hashes.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from data_pipeline.quality import synchrony

ALIKE = 10  # bits of 64 in which the pictures of copies may differ
# Correlations of copies; docs/quality.md has what was measured. Of the motion, all tracks together; of the sound there;
# and in its place, of the track of motion that agrees least.
SAME_MOTION, SAME_SOUND, EVERY_TRACK = 0.85, 0.85, 0.5
SHORTEST = 25  # frames that must be compared
_SHARE = 0.5  # of the shorter clip that the other must show, too
_COLUMNS = 3.2  # of a mel spectrogram in a frame


@dataclasses.dataclass(frozen=True)
class Trace:
  """What two clips are compared by.

  Attributes:
    motion: float64[n, 3], see `motion`.
    mel: float32[columns, 80], the spectrogram of all frames; empty without sound.
  """

  motion: np.ndarray
  mel: np.ndarray


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
class Match:
  """How two clips agree where they agree best.

  Attributes:
    motion: correlation of all tracks together.
    least: of the track that agrees least.
    sound: correlation of the sounds there; 0 where either has none.
    frames: that were compared.
  """

  motion: float = 0.0
  least: float = 0.0
  sound: float = 0.0
  frames: int = 0

  @property
  def same(self) -> bool:
    """Whether it is one recording."""
    return self.motion >= SAME_MOTION and (self.sound >= SAME_SOUND or self.least >= EVERY_TRACK)


@dataclasses.dataclass(frozen=True)
class Twin:
  """What a copy is a copy of.

  Attributes:
    clip: the name of the other.
    match: how well they agree.
  """

  clip: str
  match: Match

  @property
  def reason(self) -> str:
    """A line for the manifest."""
    sound = f' and the same sound ({self.match.sound:.2f})' if self.match.sound >= SAME_SOUND else ''
    return (
      f'duplicate: of {self.clip}, {self.match.frames} frames with the same motion (correlation '
      f'{self.match.motion:.2f}){sound}'
    )


def motion(landmarks: np.ndarray) -> np.ndarray:
  """Returns float64[n, 3]: mouth opening and the nose's place in eye distances, freed of what changes slowly.

  Args:
    landmarks: float[n, 68, 2], pixels of any scale.
  """
  points = np.asarray(landmarks, np.float64)
  eyes = np.linalg.norm(points[:, 36:42].mean(axis=1) - points[:, 42:48].mean(axis=1), axis=-1)
  nose = points[:, 27:36].mean(axis=1) / max(float(np.median(eyes)), 1e-6)
  tracks = np.column_stack([synchrony.mouth_opening(points), nose])
  return np.stack([synchrony.without_slow(track) for track in tracks.T], axis=1)


def compare(one: Trace, other: Trace) -> Match:
  """Returns how two clips agree at the shift in time at which their motions agree best; `Match()` if none overlap."""
  best, lag = Match(), 0
  shortest = max(SHORTEST, int(_SHARE * min(len(one.motion), len(other.motion))))
  for shift in range(shortest - len(other.motion), len(one.motion) - shortest + 1):
    begin, end = max(0, shift), min(len(one.motion), shift + len(other.motion))
    a, b = one.motion[begin:end], other.motion[begin - shift : end - shift]
    together = _correlation(a, b)
    if together > best.motion:
      best, lag = Match(together, min(map(_correlation, a.T, b.T)), frames=end - begin), shift
  return dataclasses.replace(best, sound=_same_sound(one, other, lag)) if best.motion >= SAME_MOTION else best


def _same_sound(one: Trace, other: Trace, lag: int) -> float:
  """Returns the highest correlation of the sounds near a shift of `lag` frames; 0 where either has none.

  Near, because the sound of either file may be late, or have been moved.
  """
  best = 0.0
  for shift in lag + synchrony.LAGS if len(one.mel) and len(other.mel) else ():
    begin, end = max(0, shift), min(len(one.motion), shift + len(other.motion))
    if end - begin >= SHORTEST:
      a, b = (
        trace.mel[np.int64(_COLUMNS * np.arange(begin - first, end - first))]
        for trace, first in ((one, 0), (other, shift))
      )
      best = max(best, _correlation(a - a.mean(axis=0), b - b.mean(axis=0)))
  return best


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
  """Of values whose means are 0 along time."""
  norm = np.sqrt(np.square(a).sum() * np.square(b).sum())
  return float((a * b).sum() / norm) if norm > 1e-9 else 0.0


def find(candidates: Sequence[Candidate], read: Callable[[str], Trace]) -> dict[str, Twin]:
  """Returns the clips that are copies of an earlier one in the sequence, and of which.

  Args:
    candidates: in an order that does not change from run to run: of copies the first is kept.
    read: gives the trace of a clip by its name; asked only for clips whose pictures look alike.
  """
  hashes = np.array([candidate.picture_hash for candidate in candidates], np.uint64)
  twins: dict[str, Twin] = {}
  traces: dict[str, Trace] = {}

  def known(clip: str) -> Trace:
    if clip not in traces:
      traces[clip] = read(clip)
    return traces[clip]

  for k, candidate in enumerate(candidates):
    for j in np.flatnonzero(np.bitwise_count(hashes[:k] ^ hashes[k]) <= ALIKE):
      other = candidates[j]
      if other.clip in twins or other.video == candidate.video:
        continue
      match = compare(known(other.clip), known(candidate.clip))
      if match.same:
        twins[candidate.clip] = Twin(other.clip, match)
        break
  return twins
