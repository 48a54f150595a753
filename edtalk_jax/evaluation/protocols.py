"""What is animated with what: driving sequences chosen from held-out clips by a seed alone."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np


@dataclasses.dataclass(frozen=True)
class ClipInfo:
  """What choosing needs to know of a clip."""

  clip_id: str
  identity: str
  frames: int


@dataclasses.dataclass(frozen=True)
class Driving:
  """One source frame driven by a sequence of frames. Clips are positions in the list that was chosen from."""

  protocol: Literal['same_clip', 'cross', 'video']
  source: int  # clip whose first frame is the portrait
  mouth: int  # clip that drives the mouth
  pose: int  # clip that drives head pose
  frames: tuple[int, ...]  # of both drivers, in time order


def same_clip(clips: Sequence[ClipInfo], *, count: int, frames: int, seed: int) -> list[Driving]:
  """Same-clip driving: the first frame of a clip is the source, later frames of it drive every bank and are the truth.

  Args:
    clips: to choose from; clips of one frame are passed over.
    count: at most this many clips, identities in turn; 0: all.
    frames: at most this many later frames of each, evenly spaced; 0: every one.
    seed: of the choice of clips.
  """
  usable = _usable(clips)
  order = _identities_in_turn(clips, usable, np.random.default_rng(seed))
  return [Driving('same_clip', i, i, i, spread(1, clips[i].frames, frames)) for i in order[: count or None]]


def video(clips: Sequence[ClipInfo], *, count: int, frames: int, seed: int) -> list[Driving]:
  """As `same_clip`, with consecutive frames: those after the first, at most `frames` of them; 0: all.

  The clips are the first `count` of those that `same_clip` chooses by the same seed.
  """
  chosen = same_clip(clips, count=count, frames=0, seed=seed)
  return [dataclasses.replace(d, protocol='video', frames=d.frames[: frames or None]) for d in chosen]


def cross(clips: Sequence[ClipInfo], *, count: int, frames: int, seed: int) -> list[Driving]:
  """Cross-driving: mouth from one clip, head pose from a clip of another identity, portrait of a third.

  Each clip lends its first frame as portrait once, identities in turn; drivers are drawn evenly over the other
  identities. With two identities only, the portrait is of the mouth driver's; with one there is nothing to cross.

  Args:
    clips: to choose from; clips of one frame are passed over.
    count: at most this many sequences; 0: one for each clip.
    frames: at most this many frames of the drivers, evenly spaced over the shorter one; 0: every one.
    seed: of all choices.
  """
  usable = _usable(clips)
  rng = np.random.default_rng(seed)
  order = _identities_in_turn(clips, usable, rng)
  identities = sorted({clips[i].identity for i in usable})
  if len(identities) < 2:
    return []
  chosen = []
  for source in order[: count or None]:
    others = [name for name in identities if name != clips[source].identity]
    if len(others) > 1:
      mouth_identity, pose_identity = rng.permutation(others)[:2]
    else:
      mouth_identity, pose_identity = clips[source].identity, others[0]
    mouth, pose = (
      int(rng.choice([i for i in usable if clips[i].identity == name])) for name in (mouth_identity, pose_identity)
    )
    length = min(clips[mouth].frames, clips[pose].frames)
    chosen.append(Driving('cross', source, mouth, pose, spread(0, length, frames)))
  return chosen


@dataclasses.dataclass(frozen=True)
class Pair:
  """A portrait and a clip whose frames drive it. Clips are positions in the list that was chosen from."""

  portrait: int  # clip whose first frame is the portrait
  driver: int
  frames: tuple[int, ...]  # of the driver


def pairs(clips: Sequence[ClipInfo], *, count: int, frames: int, seed: int) -> list[Pair]:
  """Portraits driven by another person's clip; each clip lends its first frame as portrait once, identities in turn.

  Args:
    clips: to choose from; clips of one frame are passed over.
    count: at most this many pairs; 0: one for each clip.
    frames: at most this many frames of each driver, evenly spaced; 0: every one.
    seed: of all choices.

  Returns:
    The pairs; none if there is only one identity.
  """
  usable = _usable(clips)
  rng = np.random.default_rng(seed)
  chosen = []
  for portrait in _identities_in_turn(clips, usable, rng)[: count or None]:
    others = [i for i in usable if clips[i].identity != clips[portrait].identity]
    if others:
      driver = int(rng.choice(others))
      chosen.append(Pair(portrait, driver, spread(0, clips[driver].frames, frames)))
  return chosen


def survey(clips: Sequence[ClipInfo], *, count: int, frames: int, seed: int) -> list[tuple[int, tuple[int, ...]]]:
  """Returns (clip, its frames) of at most `count` clips, identities in turn, and evenly spaced frames; 0: all."""
  order = _identities_in_turn(clips, _usable(clips), np.random.default_rng(seed))
  return [(i, spread(0, clips[i].frames, frames)) for i in order[: count or None]]


def by_person(
  clips: Sequence[ClipInfo], labels: Sequence[str], *, count: int, frames: int, each: int, seed: int
) -> list[tuple[int, tuple[int, ...]]]:
  """As `survey`, but person after person, labels in turn, so that a few people come with all that they were filmed in.

  Args:
    clips: to choose from.
    labels: of the clips. Those first in the alphabet come first.
    count: at most so many clips, of as many people as fit; at least one. 0: of all people.
    frames: as of `survey`.
    each: at most so many clips of a person; 0: all.
    seed: of the choice of people and clips.
  """
  rng, own = np.random.default_rng(seed), {}
  for i in _usable(clips):
    own.setdefault(clips[i].identity, {}).setdefault(labels[i], []).append(i)
  chosen: list[int] = []
  for name in rng.permutation(sorted(own)):
    queues = [rng.permutation(own[name][label]).tolist() for label in sorted(own[name])]
    turns = [i for turn in itertools.zip_longest(*queues) for i in turn if i is not None][: each or None]
    if count and chosen and len(chosen) + len(turns) > count:
      break
    chosen += turns
  return [(i, spread(0, clips[i].frames, frames)) for i in chosen]


def spread(first: int, stop: int, count: int) -> tuple[int, ...]:
  """At most `count` integers from [first, stop), evenly spaced, both ends included; 0: all of them."""
  if count == 0 or stop - first <= count:
    return tuple(range(first, stop))
  return tuple(np.linspace(first, stop - 1, count).round().astype(int).tolist())


def _usable(clips: Sequence[ClipInfo]) -> list[int]:
  """Clips of more than one frame, by name: the order of the records may change, the choice must not."""
  return sorted((i for i, clip in enumerate(clips) if clip.frames > 1), key=lambda i: clips[i].clip_id)


def _identities_in_turn(clips: Sequence[ClipInfo], usable: Sequence[int], rng: np.random.Generator) -> list[int]:
  """Orders clips so that any beginning of the list covers as many identities as it can, each in a seeded order."""
  by_identity: dict[str, list[int]] = {}
  for i in usable:
    by_identity.setdefault(clips[i].identity, []).append(i)
  queues = [rng.permutation(by_identity[name]).tolist() for name in sorted(by_identity)]
  queues = [queues[i] for i in rng.permutation(len(queues))]
  return [queue[turn] for turn in range(max(map(len, queues), default=0)) for queue in queues if turn < len(queue)]
