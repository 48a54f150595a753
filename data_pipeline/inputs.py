"""What a preparation is given: the videos, the landmarks beside them, and what is known of the people."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console

from data_pipeline import cutting, identities
from data_pipeline.errors import DataError

VIDEO_ENDINGS = {
  '.mp4', '.mov', '.mkv', '.avi', '.webm', '.mpg', '.mpeg', '.m4v', '.flv', '.wmv', '.ts', '.3gp', '.gif',
}  # fmt: skip
_METADATA_NAMES = ('metadata.csv', 'clips.csv')


@dataclasses.dataclass(frozen=True)
class Video:
  """One job of a preparation: the file, its name in the records, the landmarks given for it, and what of it is used."""

  path: pathlib.Path
  video_id: str
  landmarks: pathlib.Path | None = None
  excerpt: cutting.Excerpt = cutting.ALL


@dataclasses.dataclass(frozen=True)
class Listing:
  """The jobs of a preparation.

  Attributes:
    videos: sorted by name.
    labels: what is known of each.
    notes: what the user should know of files that are not used.
  """

  videos: Sequence[Video]
  labels: Mapping[Video, identities.Label]
  notes: Sequence[str] = ()


def in_order(found: Iterable[tuple[Video, identities.Label]], notes: Sequence[str] = ()) -> Listing:
  """Puts jobs in order. Raises DataError if two of them have one name."""
  labels: dict[Video, identities.Label] = {}
  names: dict[str, Video] = {}
  for video, label in found:
    if (other := names.setdefault(video.video_id, video)) is not video:
      raise DataError(f'{video.path} and {other.path} would both be called {video.video_id}; keep one')
    labels[video] = label
  return Listing(sorted(labels, key=lambda video: video.video_id), labels, notes)


def walk(inputs: Sequence[str | os.PathLike]) -> list[pathlib.Path]:
  """Returns all files in `inputs` (files or folders), absolute and sorted, but for hidden ones and duplicates.

  Raises:
    DataError: if an input does not exist.
  """
  found: dict[pathlib.Path, None] = {}
  for given in map(pathlib.Path, inputs):
    if not given.exists():
      raise DataError(f'{given}: no such file or folder')
    # Links are followed and keep their names: trees are often made of links to where there is room.
    below = (pathlib.Path(root, name) for root, _, names in os.walk(given, followlinks=True) for name in names)
    for path in below if given.is_dir() else [given]:
      if not path.name.startswith('.') and path.is_file():
        found[path.absolute()] = None
  return sorted(found)


def with_landmarks(listing: Listing, folder: str | os.PathLike | None) -> Listing:
  """Adds the landmarks that lie as VIDEO_ID.npy in `folder` or, without a folder, beside each video."""
  home = pathlib.Path(folder) if folder is not None else None
  if home is not None and not home.is_dir():
    raise DataError(f'--landmarks {home}: no such folder')
  labels = {}
  for video, label in listing.labels.items():
    file = home / f'{video.video_id}.npy' if home else video.path.with_suffix('.npy')
    labels[dataclasses.replace(video, landmarks=file if file.is_file() else None)] = label
  return in_order(labels.items(), listing.notes)


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
    raise DataError(f'no videos in {", ".join(map(str, inputs))} (looked for {", ".join(sorted(VIDEO_ENDINGS))})')
  return [found[video_id] for video_id in sorted(found)]


def _below(given: pathlib.Path) -> Iterator[tuple[pathlib.Path, str]]:
  if given.is_file():
    yield given, given.stem
  elif given.is_dir():
    for path in sorted(given.rglob('*')):
      if path.suffix.lower() in VIDEO_ENDINGS and path.is_file() and not path.name.startswith('.'):
        yield path, path.relative_to(given).with_suffix('').as_posix()
  else:
    raise DataError(f'{given}: no such file or folder')


def nearby_metadata(inputs: Sequence[str | os.PathLike]) -> pathlib.Path | None:
  """Returns the metadata.csv or clips.csv in one of the folders `inputs` or its parent, if there is one."""
  for given in map(pathlib.Path, inputs):
    home = given if given.is_dir() else given.parent
    for folder in (home, home.resolve().parent):
      for name in _METADATA_NAMES:
        if (folder / name).is_file():
          return folder / name
  return None


def find_labels(
  videos: Sequence[Video],
  path: pathlib.Path | None,
  console: Console,
  otherwise: Mapping[Video, identities.Label] | None = None,
) -> dict[Video, identities.Label]:
  """Returns what is known of each video: from the CSV, else from the tree it lies in, else from its name.

  Args:
    videos: of which.
    path: CSV, see `identities.read_metadata`.
    console: says which CSV is used.
    otherwise: what is known without the CSV.

  Raises:
    DataError: in one line, for a mistake in the CSV.
  """
  known, otherwise = {}, otherwise or {}
  if path is not None:
    known = identities.read_metadata(path)
    listed = sum(_in_csv(video, known) is not None for video in videos)
    console.print(
      f'Splits, identities and emotions from {path} ({listed} of {len(videos)} videos listed)',
      highlight=False,
      soft_wrap=True,
    )
  homes = {label.identity: label.split for label in known.values()}
  labels = {}
  for video in videos:
    label = _in_csv(video, known) or otherwise.get(video) or identities.from_name(video.video_id)
    labels[video] = dataclasses.replace(label, split=label.split or homes.get(label.identity, ''))
  return labels


def _in_csv(video: Video, known) -> identities.Label | None:
  return known.get(video.video_id) or known.get(video.video_id.rsplit('/', 1)[-1])
