"""The work of one process of a preparation: one video into its cache entry."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from data_pipeline import cache, pool, prepare
from data_pipeline.errors import DataError, RejectedVideo, machine_fault
from data_pipeline.inputs import Video

# Turns one video into clips, see `prepare.prepare_video`. Picklable, where other processes call it.
PrepareVideo = Callable[..., Iterator[prepare.PreparedClip | prepare.RejectedClip]]


@dataclasses.dataclass(frozen=True)
class Task:
  """One video, where its result goes, and the SHA-256 of its file ('' if it cannot be read)."""

  video: Video
  entry: cache.Entry
  source_sha256: str


def prepare_all(
  tasks: Sequence[Task],
  config: prepare.PrepareConfig,
  workers: int,
  prepare_video: PrepareVideo = prepare.prepare_video,
) -> Iterator[Task]:
  """Prepares videos into their cache entries, and yields each when it is dealt with.

  A process that dies takes only its own video along, which becomes a rejection.

  Args:
    tasks: what is missing.
    config: how.
    workers: processes; 0 works in this one.
    prepare_video: turns one video into clips.

  Raises:
    DataError, OSError: as `prepare_one`.
  """
  work = functools.partial(prepare_one, config=config, prepare_video=prepare_video)
  for task, lived in pool.run(work, tasks, workers):
    if not lived:
      reject(task.entry, 'the process died: the decoder crashed, or memory ran out')
    yield task


def reject(entry: cache.Entry, reason: str) -> None:
  """Rejects a video for what may be no fault of its own, so that the next job tries again."""
  entry.begin()
  entry.finish(cache.rejection(reason, retry=True))


def prepare_one(task: Task, config: prepare.PrepareConfig, prepare_video: PrepareVideo = prepare.prepare_video) -> None:
  """Prepares one video into its cache entry; whatever is wrong with the video ends as a reason there.

  Raises:
    DataError: if the detector is not installed.
    OSError: if the machine is at fault, e.g. its disk is full; no video is blamed for that.
  """
  detector = None if task.video.landmarks else detector_of_process()
  task.entry.begin()
  try:
    outcome = _prepare(task, config, detector, prepare_video)
  except Exception as error:  # one bad video must never end a job of thousands
    if fault := machine_fault(error):
      raise fault from None
    task.entry.begin()
    outcome = cache.rejection(
      _reason(task.video, error), thumbnail=getattr(error, 'thumbnail', ''), retry=isinstance(error, MemoryError)
    )
  task.entry.finish(outcome)


@functools.cache
def detector_of_process():
  """Returns the face detector, loaded once in each process. Raises DataError if it is not installed."""
  from data_pipeline import faces  # dlib and its model are large, and not needed where landmarks are given

  return faces.LandmarkDetector()


def _prepare(task: Task, config: prepare.PrepareConfig, detector, prepare_video: PrepareVideo) -> cache.Outcome:
  clips, rejected = [], []
  landmarks = _load_landmarks(task.video.landmarks)
  for item in prepare_video(task.video.path, config, detector, landmarks, task.video.excerpt):
    if isinstance(item, prepare.RejectedClip):
      rejected.append(item)
    else:
      clips.append(task.entry.add(item))
  return cache.Outcome(tuple(clips), tuple(rejected))


def _reason(video: Video, error: Exception) -> str:
  if isinstance(error, DataError):
    return str(error).removeprefix(f'{video.path}: ')
  return f'unexpected {type(error).__name__}: {error}'.splitlines()[0]


def _load_landmarks(path: pathlib.Path | None) -> np.ndarray | None:
  if path is None:
    return None
  try:
    return np.load(path, allow_pickle=False)
  except (OSError, ValueError, EOFError) as error:
    raise RejectedVideo(f'landmarks {path.name} cannot be read ({str(error).splitlines()[0]})') from None
