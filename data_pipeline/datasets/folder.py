"""A folder of videos as a TFDS dataset in ArrayRecord files."""

import contextlib
import io
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping

import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle

from data_pipeline.datasets import schema

NAME = 'folder'
# TFDS keeps up to 1 GB of examples in memory before it uses its buckets on disk; preparation should stay far below.
_SHUFFLE_BYTES = 64 << 20

Source = Callable[[], Iterator[schema.Record]]


class Folder(tfds.core.GeneratorBasedBuilder):
  """Writes records that preparation has made. Splits are given, so that an identity never crosses them.

  Attributes:
    sources: split name -> function that yields its records.
  """

  name = NAME
  VERSION = tfds.core.Version(schema.VERSION)
  RELEASE_NOTES: Mapping[str, str] = {schema.VERSION: 'First version.'}

  def __init__(self, *, sources: Mapping[str, Source], **kwargs):
    self.sources = sources
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(builder=self, features=schema.features(),
                                 description='Clips of single faces, prepared from a folder of videos.')

  def _split_generators(self, download_manager):
    del download_manager  # nothing is downloaded
    return {split: self._generate_examples(source) for split, source in self.sources.items()}

  def _generate_examples(self, source: Source):
    for record in source():
      yield record.clip_id, schema.to_example(record)


def write(folder: pathlib.Path, sources: Mapping[str, Source]) -> pathlib.Path:
  """Writes a dataset below `folder` and returns its own folder; an earlier one is replaced when the new one is whole.

  Args:
    folder: where the dataset lies, e.g. OUT.
    sources: split name -> function that yields its records; none may be empty.
  """
  building = folder / '.building'
  shutil.rmtree(building, ignore_errors=True)
  with _small_shuffle_buffer(), _quiet():
    builder = Folder(sources=sources, data_dir=building, file_format='array_record')
    builder.download_and_prepare()
  target = folder / NAME
  outdated = folder / '.outdated'
  shutil.rmtree(outdated, ignore_errors=True)
  if target.exists():
    os.replace(target, outdated)
  os.replace(building / NAME, target)
  shutil.rmtree(outdated, ignore_errors=True)
  shutil.rmtree(building, ignore_errors=True)
  return target / schema.VERSION


@contextlib.contextmanager
def _small_shuffle_buffer():
  before = shuffle.MAX_MEM_BUFFER_SIZE
  shuffle.MAX_MEM_BUFFER_SIZE = _SHUFFLE_BYTES
  try:
    yield
  finally:
    shuffle.MAX_MEM_BUFFER_SIZE = before


@contextlib.contextmanager
def _quiet():
  """TFDS prints progress of its own; ours says what matters."""
  tfds.disable_progress_bar()
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    tfds.enable_progress_bar()
