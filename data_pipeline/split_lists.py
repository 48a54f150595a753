"""Splits by lists of names, as EDTalk's train.json and test.json; and who is on both sides of them.

EDTalk splits HDTF by video: of 56 people of the test list 31 are in the training list too. By default this project
keeps people apart (`identities.assign_splits`); the lists are for repeating the paper's split, or, with people apart,
for a test set that nobody who trained by the official lists has seen.
"""

import collections
import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipeline.errors import DataError
from data_pipeline.identities import SPLITS, Label
from data_pipeline.inputs import Listing

_PIECE = re.compile(r'#\d+$')


def read(files: Sequence[str | os.PathLike]) -> dict[str, str]:
  """Reads name -> split from JSON arrays of names, each in a file called by its split (train.json, test.json).

  Raises:
    DataError: in one line, for a file that is something else, or a name in two splits.
  """
  homes: dict[str, str] = {}
  for path in map(pathlib.Path, files):
    if path.stem not in SPLITS:
      raise DataError(
        f'--split-files {path}: the name of the file must be one of {", ".join(f"{split}.json" for split in SPLITS)}'
      )
    for name in _names(path):
      if homes.setdefault(name, path.stem) != path.stem:
        raise DataError(f'--split-files {path}: {name} is in {homes[name]}.json too')
  return homes


def _names(path: pathlib.Path) -> list[str]:
  try:
    names = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError) as error:
    raise DataError(f'--split-files {path}: cannot be read ({str(error).splitlines()[0]})') from None
  if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
    raise DataError(f'--split-files {path}: expected a JSON array of names such as "M003#angry#level_1#001"')
  return names


def apply(listing: Listing, homes: Mapping[str, str], *, people_apart: bool = False) -> Listing:
  """Gives every job the split of the lists; jobs that no list names are left out.

  A video belongs to the split that names it or one of its pieces (VIDEO#1). Where a person is in several splits, each
  video counts as a person of its own, as in the official code; with `people_apart` all videos of such a person go to
  the first of train, val and test instead.

  Raises:
    DataError: if the lists name none of the jobs, or put one video into two splits.
  """
  by_video = _by_video(homes)
  labels = {}
  for video in listing.videos:
    if split := by_video.get(video.video_id, homes.get(video.video_id)):
      labels[video] = dataclasses.replace(listing.labels[video], split=split)
  if not labels:
    raise DataError(
      f'--split-files: none of {len(listing.videos)} videos is in the lists; they name {len(homes)}, '
      f'e.g. {next(iter(homes), "nothing")}'
    )
  shared = people_in_several(labels.values())
  for video, label in labels.items():
    if label.identity not in shared:
      continue
    if people_apart:
      labels[video] = dataclasses.replace(label, split=min(shared[label.identity], key=SPLITS.index))
    else:
      labels[video] = dataclasses.replace(label, identity=video.video_id)
  return Listing(
    [video for video in listing.videos if video in labels],
    labels,
    (*listing.notes, *_notes(listing, labels, homes, shared, people_apart)),
  )


def _by_video(homes: Mapping[str, str]) -> dict[str, str]:
  """Returns video -> split of the names that are pieces of videos (HDTF: one '#'; MEAD has three and no pieces)."""
  videos: dict[str, str] = {}
  for name, split in homes.items():
    if name.count('#') != 1:
      continue
    video = _PIECE.sub('', name)
    if videos.setdefault(video, split) != split:
      raise DataError(
        f'--split-files: pieces of {video} are in the splits {videos[video]} and {split}; a video must be in one'
      )
  return videos


def _notes(listing: Listing, labels, homes, shared, people_apart: bool) -> list[str]:
  notes = []
  if left := len(listing.videos) - len(labels):
    notes.append(f'{left} videos are in no list and left out')
  known = {video.video_id for video in labels}
  if missing := len({_PIECE.sub('', name) if name.count('#') == 1 else name for name in homes} - known):
    notes.append(f'{missing} videos of the lists are not there')
  if shared and people_apart:
    notes.append(f'{len(shared)} people were in several splits: all their videos are in the first of these')
  elif shared:
    notes.append(
      f'{len(shared)} people are in several splits, as in the lists: each of their videos counts as a '
      'person (--people-apart keeps people in one)'
    )
  return notes


def people_in_several(labels: Sequence[Label]) -> dict[str, set[str]]:
  """Returns {identity: splits} of the people whose videos are in more than one split."""
  homes = collections.defaultdict(set)
  for label in labels:
    homes[label.identity].add(label.split)
  return {identity: splits for identity, splits in homes.items() if len(splits) > 1}


def report(
  rows: Sequence[Mapping[str, Any]], people: Mapping[str, str], given: Mapping[str, str] | None = None
) -> dict[str, Any]:
  """Counts what is in each split.

  Args:
    rows: lines of the manifest.
    people: video -> person, before a list made videos into people.
    given: name -> split of the lists, if there are any.

  Returns:
    {'splits': {split: {'people', 'videos', 'clips', 'hours'}}, 'people_in_several_splits': [names],
    'videos_moved': {'test to train': videos whose split is not the lists'}}.
  """
  kept = [row for row in rows if row['status'] == 'ok']
  homes, counts = collections.defaultdict(set), {}
  for split in SPLITS:
    own = [row for row in kept if row['split'] == split]
    for row in own:
      homes[people[row['video']]].add(split)
    counts[split] = {
      'people': len({people[row['video']] for row in own}),
      'videos': len({row['video'] for row in own}),
      'clips': len(own),
      'hours': round(sum(row['frames'] for row in own) / 25 / 3600, 3),
    }
  listed = {**(given or {}), **_by_video(given or {})}
  moved = collections.Counter(
    f'{listed[video]} to {split}'
    for video, split in {(r['video'], r['split']) for r in kept}
    if listed.get(video, split) != split
  )
  return {
    'splits': counts,
    'people_in_several_splits': sorted(p for p, splits in homes.items() if len(splits) > 1),
    'videos_moved': dict(sorted(moved.items())),
  }
