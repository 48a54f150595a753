"""Examples of one person's videos: the first part of each is trained on, the rest tells when to stop."""

from collections.abc import Sequence
from typing import NamedTuple

from data_pipeline.errors import DataError
from data_pipeline.index import ClipInfo

TRAINED = 0.8  # of each video's frames, from its beginning (official code, fine_tune/)


class Place(NamedTuple):
  """A frame of a data set: the number of its clip, and its own in the clip."""

  clip: int
  frame: int


class Video(NamedTuple):
  """The frames of one video, in time."""

  early: tuple[Place, ...]  # trained on
  late: tuple[Place, ...]  # held out


def clips_of(infos: Sequence[ClipInfo], identity: str) -> list[int]:
  """Returns the numbers of a person's clips; '' stands for the only one there is.

  Raises:
    DataError: if there is no such person, or there are several to choose from.
  """
  people = sorted({info.identity for info in infos})
  if not identity and len(people) == 1:
    identity = people[0]
  if identity not in people:
    named = ', '.join(people[:8]) + (f' and {len(people) - 8} more' if len(people) > 8 else '')
    raise DataError(f'personalize.identity={identity}: expected one of the people in this split, {named or "none"}')
  return [number for number, info in enumerate(infos) if info.identity == identity]


def videos(infos: Sequence[ClipInfo], numbers: Sequence[int]) -> dict[int, Video]:
  """Returns the video that each of the clips `numbers` is cut from, which other clips share.

  A clip is called VIDEO#k, the k-th of its video.

  Raises:
    DataError: if a video has fewer than two frames.
  """
  names = {number: _name(infos[number].clip_id) for number in numbers}
  cut: dict[str, Video] = {}
  for video in dict.fromkeys(name for name, _ in names.values()):
    own = sorted((number for number in numbers if names[number][0] == video), key=lambda number: names[number][1])
    places = tuple(Place(number, frame) for number in own for frame in range(infos[number].frames))
    if len(places) < 2:
      raise DataError(f'{video}: {len(places)} frames, expected at least 2 of which one can be held out')
    count = min(len(places) - 1, max(1, int(TRAINED * len(places))))
    cut[video] = Video(places[:count], places[count:])
  return {number: cut[names[number][0]] for number in numbers}


def _name(clip_id: str) -> tuple[str, int]:
  """Splits VIDEO#k; a clip of another name is a video of its own."""
  video, mark, number = clip_id.rpartition('#')
  return (video, int(number)) if mark and number.isdigit() else (clip_id, 1)
