"""Follows faces through a video and chooses the square that each clip is cut from.

The detector runs on every `every`-th frame; between two frames that agree, boxes are interpolated, and only where they
disagree is every frame searched. Landmarks are fitted in every frame.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

_SAME_FACE_IOU = 0.25  # as in the official crop scripts, there against the first box of a track, here the last
_LONGEST_GAP = 5  # frames without a detection after which a track is closed
_CUT_DIFFERENCE = 35.0  # mean grey-level change of a thumbnail between frames of different shots


class Detector(Protocol):
  """What tracking needs of a face detector (`faces.LandmarkDetector`, or landmarks given beside a video)."""

  def boxes(self, frame: np.ndarray, thorough: bool = True) -> np.ndarray:
    """Returns float32[faces, 4]."""

  def landmarks_in(self, frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Returns float32[68, 2]."""


@dataclasses.dataclass
class Track:
  """One face through consecutive frames.

  Attributes:
    begin: first frame.
    landmarks: per frame float32[68, 2]; None where the face was not seen.
    boxes: per frame the detector's float32[4]; the last seen one where the face was not seen.
  """

  begin: int
  landmarks: list[np.ndarray | None] = dataclasses.field(default_factory=list)
  boxes: list[np.ndarray] = dataclasses.field(default_factory=list)

  @property
  def end(self) -> int:
    """One past the last frame."""
    return self.begin + len(self.boxes)

  @property
  def weight(self) -> float:
    """Sum of box areas: large and persistent faces win."""
    return float(sum(max(0.0, (b[2] - b[0]) * (b[3] - b[1])) for b in self.boxes))

  def missing(self) -> int:
    """How many frames at the end have no detection."""
    return next((k for k, points in enumerate(reversed(self.landmarks)) if points is not None), len(self.boxes))


def track_faces(frames: Iterable[np.ndarray], detector: Detector, every: int = 5) -> tuple[list[Track], int]:
  """Follows all faces through a video.

  Args:
    frames: uint8[height, width, 3]; at most `every` + 1 are held at a time.
    detector: where faces are found.
    every: frames from one search to the next.

  Returns:
    (tracks in the order in which they began, the number of frames).
  """
  open_tracks: list[Track] = []
  closed: list[Track] = []
  count = 0
  for frame, boxes, is_cut in _detections(frames, detector, every):
    if is_cut:
      closed += open_tracks
      open_tracks = []
    _extend(open_tracks, count, frame, boxes, detector)
    closed += [t for t in open_tracks if t.missing() > _LONGEST_GAP]
    open_tracks = [t for t in open_tracks if t.missing() <= _LONGEST_GAP]
    count += 1
  closed += open_tracks
  for track in closed:
    if gap := track.missing():
      del track.landmarks[-gap:], track.boxes[-gap:]
  return sorted((t for t in closed if t.boxes), key=lambda t: t.begin), count


def _extend(tracks: list[Track], index: int, frame, boxes: np.ndarray, detector: Detector) -> None:
  """Gives each box to the open track that it overlaps best, or begins a track; tracks without a box get a gap."""
  partners = _match(np.array([t.boxes[-1] for t in tracks]).reshape(-1, 4), boxes)
  for j, box in enumerate(boxes):
    points = detector.landmarks_in(frame, box)
    i = partners.get(j)
    if i is None:
      tracks.append(Track(index, [points], [box]))
    else:
      tracks[i].landmarks.append(points)
      tracks[i].boxes.append(box)
  for track in tracks:
    if track.end == index:
      track.landmarks.append(None)
      track.boxes.append(track.boxes[-1])


def _detections(frames, detector: Detector, every: int) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
  """Yields (frame, boxes float32[faces, 4], whether a new shot begins) for every frame."""
  held: list[np.ndarray] = []  # frames after the last searched one
  last = None  # boxes of the last searched frame
  for frame, is_cut in _with_cuts(frames):
    if last is None or is_cut:
      yield from ((f, b, False) for f, b in _search_all(held, detector))
      last, held = detector.boxes(frame), []
      yield frame, last, is_cut
      continue
    held.append(frame)
    if len(held) == every:
      boxes = detector.boxes(frame)
      between = _interpolate(last, boxes, every)
      if between is None:
        yield from ((f, b, False) for f, b in _search_all(held[:-1], detector))
      else:
        yield from ((f, b, False) for f, b in zip(held[:-1], between, strict=True))
      yield frame, boxes, False
      last, held = boxes, []
  yield from ((f, b, False) for f, b in _search_all(held, detector))


def _search_all(frames, detector: Detector):
  return ((frame, detector.boxes(frame, thorough=True)) for frame in frames)


def _with_cuts(frames) -> Iterator[tuple[np.ndarray, bool]]:
  last = None
  for frame in frames:
    rows, columns = (max(1, side // 32) for side in frame.shape[:2])
    small = frame[::rows, ::columns, 1].astype(np.int16)
    yield frame, last is not None and small.shape == last.shape and np.abs(small - last).mean() > _CUT_DIFFERENCE
    last = small


def _interpolate(first: np.ndarray, last: np.ndarray, steps: int) -> list[np.ndarray] | None:
  """Returns boxes of the `steps` - 1 frames between two searched ones; None if they do not show the same faces."""
  if len(first) != len(last):
    return None
  partners = _match(first, last)
  if len(partners) != len(last):
    return None
  order = [partners[j] for j in range(len(last))]
  start = first[order] if order else first
  return [start + (last - start) * np.float32(k / steps) for k in range(1, steps)]


def _match(first: np.ndarray, second: np.ndarray) -> dict[int, int]:
  """Pairs boxes greedily by overlap. Returns {index in `second`: index in `first`}."""
  if not len(first) or not len(second):
    return {}
  overlap = _iou(first, second)
  partners = {}
  for i, j in sorted(np.ndindex(overlap.shape), key=lambda ij: -overlap[ij]):
    if overlap[i, j] > _SAME_FACE_IOU and j not in partners and i not in partners.values():
      partners[j] = i
  return partners


def _iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Returns float[len(first), len(second)] intersection over union."""
  low = np.maximum(first[:, None, :2], second[None, :, :2])
  high = np.minimum(first[:, None, 2:], second[None, :, 2:])
  intersection = np.prod(np.maximum(high - low, 0), axis=-1)
  areas = [np.prod(np.maximum(b[:, 2:] - b[:, :2], 0), axis=-1) for b in (first, second)]
  return intersection / np.maximum(areas[0][:, None] + areas[1][None] - intersection, 1e-9)


def choose_tracks(tracks: list[Track], longest: bool = False) -> list[Track]:
  """Returns the main face of every moment: by weight, tracks that do not overlap in time with a chosen one.

  Args:
    tracks: all faces.
    longest: the number of frames comes before the weight.
  """
  chosen: list[Track] = []
  for track in sorted(tracks, key=lambda t: (-len(t.boxes) if longest else 0, -t.weight)):
    if all(track.end <= other.begin or other.end <= track.begin for other in chosen):
      chosen.append(track)
  return sorted(chosen, key=lambda t: t.begin)
