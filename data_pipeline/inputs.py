"""What a preparation is given: the videos, the landmarks beside them, and what is known of the people."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

from rich.console import Console

from data_pipeline import identities
from data_pipeline.errors import DataError

_ENDINGS = {'.mp4', '.mov', '.mkv', '.avi', '.webm', '.mpg', '.mpeg', '.m4v', '.flv', '.wmv', '.ts', '.3gp', '.gif'}
_METADATA_NAMES = ('metadata.csv', 'clips.csv')


@dataclasses.dataclass(frozen=True)
class Video:
  """One input: its file, its name in the records, and the landmarks given for it, if any."""

  path: pathlib.Path
  video_id: str
  landmarks: pathlib.Path | None = None


def find_videos(inputs: Sequence[str | os.PathLike], landmarks: str | os.PathLike | None = None) -> list[Video]:
  """Lists the videos in `inputs` (files or folders), sorted, each under a unique name.

  Raises:
    DataError: if an input does not exist, there is no video, or two videos would share a name.
  """
  found: dict[str, Video] = {}
  folder = pathlib.Path(landmarks) if landmarks is not None else None
  if folder is not None and not folder.is_dir():
    raise DataError(f'--landmarks {folder}: no such folder')
  for given in map(pathlib.Path, inputs):
    for path, video_id in _below(given):
      if video_id in found and found[video_id].path != path.resolve():
        raise DataError(f'{path} and {found[video_id].path} would both be called {video_id}; rename one')
      beside = folder / f'{video_id}.npy' if folder else path.with_suffix('.npy')
      found[video_id] = Video(path.resolve(), video_id, beside if beside.is_file() else None)
  if not found:
    raise DataError(f'no videos in {", ".join(map(str, inputs))} (looked for {", ".join(sorted(_ENDINGS))})')
  return [found[video_id] for video_id in sorted(found)]


def _below(given: pathlib.Path) -> Iterator[tuple[pathlib.Path, str]]:
  if given.is_file():
    yield given, given.stem
  elif given.is_dir():
    for path in sorted(given.rglob('*')):
      if path.suffix.lower() in _ENDINGS and path.is_file() and not path.name.startswith('.'):
        yield path, path.relative_to(given).with_suffix('').as_posix()
  else:
    raise DataError(f'{given}: no such file or folder')


def find_labels(videos: Sequence[Video], inputs: Sequence[str | os.PathLike], metadata: str | os.PathLike | None,
                console: Console) -> dict[Video, identities.Label]:
  """Returns what is known of each video: from the CSV, else from its name.

  Args:
    videos: of which.
    inputs: where they were found; a metadata.csv or clips.csv in such a folder or its parent is used, too.
    metadata: CSV, see `identities.read_metadata`.
    console: says which CSV is used.

  Raises:
    DataError: in one line, for a mistake in the CSV.
  """
  known = {}
  path = pathlib.Path(metadata) if metadata is not None else _nearby_metadata(inputs)
  if path is not None:
    known = identities.read_metadata(path)
    listed = sum(_in_csv(video, known) is not None for video in videos)
    console.print(f'Splits, identities and emotions from {path} ({listed} of {len(videos)} videos listed)',
                  highlight=False, soft_wrap=True)
  homes = {label.identity: label.split for label in known.values()}
  labels = {}
  for video in videos:
    label = _in_csv(video, known) or identities.from_name(video.video_id)
    labels[video] = dataclasses.replace(label, split=label.split or homes.get(label.identity, ''))
  return labels


def _in_csv(video: Video, known) -> identities.Label | None:
  return known.get(video.video_id) or known.get(video.video_id.rsplit('/', 1)[-1])


def _nearby_metadata(inputs) -> pathlib.Path | None:
  for given in map(pathlib.Path, inputs):
    home = given if given.is_dir() else given.parent
    for folder in (home, home.resolve().parent):
      for name in _METADATA_NAMES:
        if (folder / name).is_file():
          return folder / name
  return None
