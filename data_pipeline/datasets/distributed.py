"""The data sets of the paper as TFDS builders over `edtalk prepare`.

`tfds.builder('mead', data_dir=OUT).download_and_prepare(download_config=DownloadConfig(manual_dir=MEAD))` is
`edtalk prepare MEAD --dataset mead --out OUT`, with the cache and the manifest in OUT, and so is `tfds build`.
"""

import os
from typing import Any

import tensorflow_datasets as tfds

from data_pipeline.datasets.folder import Folder
from data_pipeline.errors import DataError


class Distributed(Folder, skip_registration=True):
  """A data set whose files users have from its owners.

  Attributes:
    DATASET: its name in `data_pipeline.trees`.
    split_files: see `data_pipeline.split_lists`.
    preparation: how videos become clips, a `data_pipeline.prepare.PrepareConfig`; None: its defaults.
    workers: processes; Beam is used instead if the download config has options for it.
  """

  DATASET = ''
  MANUAL_DOWNLOAD_INSTRUCTIONS = 'manual_dir is the folder with the files as their owners distribute them.'

  def __init__(self, *, split_files: tuple[str, ...] = (), preparation: Any = None, workers: int = 2, **kwargs):
    self.split_files, self.preparation, self.workers = split_files, preparation, workers
    super().__init__(**{'sources': {}, 'file_format': 'array_record', **kwargs})

  def download_and_prepare(self, *, download_config: tfds.download.DownloadConfig | None = None, **kwargs) -> None:
    """Prepares what is missing, and writes the records anew if anything changed.

    Raises:
      DataError: in one line, for a mistake in what is given or a fault of the machine.
    """
    if self.sources:  # the job's own call, when all videos are prepared
      super().download_and_prepare(download_config=download_config, **kwargs)
      return
    from data_pipeline import job  # stands on this module

    if download_config is None or download_config.manual_dir is None:
      raise DataError(f'{self.name}: manual_dir must name the folder of the data set, see docs/datasets.md')
    job.prepare_folder(
      [os.fspath(download_config.manual_dir)],
      self.data_dir_root,
      self.preparation,
      dataset=self.DATASET,
      split_files=self.split_files,
      workers=self.workers,
      beam=download_config.beam_options,
    )
    self.info.read_from_directory(self.data_dir)


class Mead(Distributed):
  """MEAD's front views, one clip a sentence; see `data_pipeline.trees.mead`."""

  name = DATASET = 'mead'
  DESCRIPTION = 'Front views of MEAD (Wang et al., ECCV 2020), one clip a sentence.'


class Hdtf(Distributed):
  """HDTF in pieces of 5 s; see `data_pipeline.trees.hdtf`."""

  name = DATASET = 'hdtf'
  DESCRIPTION = 'HDTF (Zhang et al., CVPR 2021) in pieces of 5 s.'


class VoxcelebFaces(Distributed):
  """VoxCeleb's videos and trees like it; see `data_pipeline.trees.voxceleb`. TFDS has a `voxceleb` of sound alone."""

  name, DATASET = 'voxceleb_faces', 'voxceleb'
  DESCRIPTION = 'Clips of the videos of VoxCeleb (Nagrani et al., 2017), or of a tree like it.'


BUILDERS = {'folder': Folder, 'mead': Mead, 'hdtf': Hdtf, 'mead+hdtf': Folder, 'voxceleb': VoxcelebFaces}
