"""A folder of videos as a TFDS dataset in ArrayRecord files."""

import contextlib
import io
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping

import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.core import example_serializer, naming

from data_pipeline.datasets import schema
from data_pipeline.errors import DataError

NAME = 'folder'
_SHARD_BYTES = 512 << 20
# One record a group for random access; JPEG does not compress further, and plain records are read a third faster.
_OPTIONS = 'group_size:1,uncompressed'

Source = Callable[[], Iterator[schema.Record]]


class Info(tfds.core.DatasetInfo):
  """What TFDS knows of a data set of ours."""

  def initialize_from_bucket(self) -> None:
    """TFDS would look for its description in a bucket of its own, and leave a temporary folder behind each time."""


class Folder(tfds.core.GeneratorBasedBuilder):
  """Writes records that preparation has made. Splits are given, so that an identity never crosses them.

  Attributes:
    sources: split name -> function that yields its records.
  """

  name = NAME
  VERSION = tfds.core.Version(schema.VERSION)
  RELEASE_NOTES: Mapping[str, str] = {schema.VERSION: 'First version.'}
  DESCRIPTION = 'Clips of single faces, prepared from a folder of videos.'

  def __init__(self, *, sources: Mapping[str, Source], **kwargs):
    self.sources = sources
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    return Info(builder=self, features=schema.features(), description=self.DESCRIPTION)

  def _split_generators(self, download_manager):
    del download_manager  # nothing is downloaded
    return {split: self._generate_examples(source) for split, source in self.sources.items()}

  def _generate_examples(self, source: Source):
    for record in source():
      yield record.clip_id, schema.to_example(record)

  def _download_and_prepare(self, dl_manager, download_config=None, **kwargs):
    """Writes shards one after the other.

    TFDS's own writer shuffles, for which it keeps up to 1 GB in memory and needs TensorFlow beyond that. Our order does
    not matter, because sampling permutes it; so records go straight to disk and memory holds one of them.
    """
    splits = [self._write_split(split, examples) for split, examples in self._split_generators(dl_manager).items()]
    self.info.set_splits(tfds.core.splits.SplitDict(splits))

  def _write_split(self, split: str, examples) -> tfds.core.SplitInfo:
    serializer = example_serializer.ExampleSerializer(self.info.features.get_serialized_info())
    template = naming.ShardedFileTemplate(
      dataset_name=self.name,
      data_dir=self.data_path,
      split=split,
      filetype_suffix='array_record',
      template='{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}',
    )
    lengths, total, size, writer = [], 0, _SHARD_BYTES, None
    for _, example in examples:
      # Otherwise the order of the fields differs from process to process, and equal records would differ in bytes.
      data = serializer.get_tf_example(self.info.features.encode_example(example)).SerializeToString(deterministic=True)
      if size + len(data) > _SHARD_BYTES:
        if writer is not None:
          _on_disk(writer.close)
        path = template.sharded_filepath(shard_index=len(lengths), num_shards=None)
        writer, size = _on_disk(array_record_module.ArrayRecordWriter, os.fspath(path), _OPTIONS), 0
        lengths.append(0)
      _on_disk(writer.write, data)
      lengths[-1], size, total = lengths[-1] + 1, size + len(data), total + len(data)
    if writer is None:
      raise ValueError(f'split {split!r} must hold at least one record, got none')
    _on_disk(writer.close)
    return tfds.core.SplitInfo(name=split, shard_lengths=lengths, num_bytes=total, filename_template=template)


def _on_disk(call: Callable, *arguments):
  """Calls a method of ArrayRecord, which tells a full disk only by the text of a RuntimeError."""
  try:
    return call(*arguments)
  except RuntimeError as error:
    raise DataError(
      f'the records cannot be written ({str(error).splitlines()[0]}); the same command goes on from what is finished'
    ) from None


def write(folder: pathlib.Path, sources: Mapping[str, Source], builder_type: type[Folder] = Folder) -> pathlib.Path:
  """Writes a dataset below `folder` and returns its own folder; an earlier one is replaced when the new one is whole.

  Args:
    folder: where the dataset lies, e.g. OUT.
    sources: split name -> function that yields its records; none may be empty.
    builder_type: what kind of records they are.

  Raises:
    DataError: in one line, if the disk does not take them.
  """
  building = folder / '.building'
  shutil.rmtree(building, ignore_errors=True)
  with _quiet():
    builder = builder_type(sources=sources, data_dir=building, file_format='array_record')
    builder.download_and_prepare()
  target = folder / builder_type.name
  outdated = folder / '.outdated'
  shutil.rmtree(outdated, ignore_errors=True)
  if target.exists():
    os.replace(target, outdated)
  os.replace(building / builder_type.name, target)
  shutil.rmtree(outdated, ignore_errors=True)
  shutil.rmtree(building, ignore_errors=True)
  return target / schema.VERSION


@contextlib.contextmanager
def _quiet():
  """TFDS prints progress of its own; ours says what matters."""
  tfds.disable_progress_bar()
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    tfds.enable_progress_bar()
