"""Data sets as their owners distribute them: a tree of files in, the jobs of a preparation out."""

import os
import pathlib
from collections.abc import Callable, Sequence

from data_pipeline.errors import DataError
from data_pipeline.inputs import Listing, in_order, walk
from data_pipeline.trees import hdtf, mead, voxceleb

FOLDER = 'folder'


def _mead_and_hdtf(files: Sequence[pathlib.Path]) -> Listing:
  """Lists both, which the paper trains on together."""
  sentences = mead.find(files)
  taken = {video.path for video in sentences.videos}
  takes = hdtf.find([path for path in files if path not in taken])
  return in_order((*sentences.labels.items(), *takes.labels.items()), (*sentences.notes, *takes.notes))


_TREES: dict[str, Callable[[Sequence[pathlib.Path]], Listing]] = {
  'mead': mead.find,
  'hdtf': hdtf.find,
  'mead+hdtf': _mead_and_hdtf,
  'voxceleb': voxceleb.find,
}
NAMES = (FOLDER, *_TREES)


def find(dataset: str, inputs: Sequence[str | os.PathLike]) -> Listing:
  """Lists the jobs in `inputs` (files or folders), sorted by name.

  Args:
    dataset: whose tree it is, one of `NAMES` but for 'folder', which `inputs.find_videos` lists.
    inputs: where the tree, or parts of it, lie.

  Raises:
    DataError: in one line, if there is no such data set, nothing of it, or two files for one name.
  """
  if dataset not in _TREES:
    raise DataError(f'--dataset {dataset}: expected one of {", ".join(NAMES)}')
  listing = _TREES[dataset](walk(inputs))
  if not listing.videos:
    notes = ''.join(f'; {note}' for note in listing.notes)
    raise DataError(
      f'--dataset {dataset}: nothing of it in {", ".join(map(str, inputs))}{notes}; docs/datasets.md shows the layout'
    )
  return listing
