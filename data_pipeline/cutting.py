"""What of a video is prepared, and how runs of a face are cut into clips."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence

from data_pipeline import cropping

EVEN, PIECES, WHOLE = 'even', 'pieces', 'whole'
LARGEST, LONGEST = 'largest', 'longest'
LONGEST_WHOLE = 1500  # frames (a minute) of a clip that is not cut; more is no sentence, and memory holds a clip


@dataclasses.dataclass(frozen=True)
class Excerpt:
  """What of a file is prepared, and how.

  Attributes:
    begin, end: seconds since the first shown frame.
    cut: 'even' (clips of at most the longest length, equally long: no tail is lost), 'pieces' (a grid from `begin`, as
      HDTF's 5 s pieces: clip k always shows the same time, whatever is rejected) or 'whole' (one clip, as MEAD's
      sentences).
    follow: of several faces the 'largest' (sum of its boxes' areas over time) or the 'longest' seen.
    sound: a file that is heard if the video itself is silent; it begins with the video.
  """

  begin: float = 0.0
  end: float = math.inf
  cut: str = EVEN
  follow: str = LARGEST
  sound: pathlib.Path | None = None

  def __post_init__(self):
    if not 0 <= self.begin < self.end:
      raise ValueError(f'begin and end must be 0 <= begin < end, got {self.begin} and {self.end}')
    if self.cut not in (EVEN, PIECES, WHOLE) or self.follow not in (LARGEST, LONGEST):
      raise ValueError(f'cut and follow are {self.cut!r} and {self.follow!r}; see the docstring for what there is')

  def key(self) -> Sequence[str]:
    """Returns what a result depends on, besides the content of files."""
    return (f'{self.begin}', f'{self.end}', self.cut, self.follow)


ALL = Excerpt()


def runs(cut: str, begin: int, end: int, longest: int) -> list[tuple[int, int, int]]:
  """Cuts frames [begin, end) of one face into clips [(number, begin, end)].

  The number is that of the piece, from 1; 0 where the cut gives none.
  """
  if cut == WHOLE:
    return [(0, begin, end)]
  if cut == PIECES:
    return [
      (k + 1, max(begin, k * longest), min(end, (k + 1) * longest)) for k in range(begin // longest, -(-end // longest))
    ]
  return [(0, begin + a, begin + b) for a, b in cropping.split_evenly(0, end - begin, longest)]


def clip_id(video_id: str, number: int) -> str:
  """Returns the name of a clip: the video's, and '#' and its number where it has one."""
  return f'{video_id}#{number}' if number else video_id
