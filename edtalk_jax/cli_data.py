"""The commands that make and look at data from videos; see `cli`."""

import collections
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from edtalk_jax.arguments import Folder, OptionalFile, OptionalFolder
from edtalk_jax.config import UserError

if TYPE_CHECKING:
  from data_pipeline.job import Summary
  from data_pipeline.prepare import PrepareConfig

Videos = Annotated[
  tuple[str, ...],
  tyro.conf.Positional,
  tyro.conf.arg(metavar='VIDEO_OR_DIR [...]', help_behavior_hint='(at least one)'),
]
Limits = Annotated[tuple[str, ...], tyro.conf.arg(metavar='NAME=VALUE [...]', help_behavior_hint='(optional)')]
SplitFiles = Annotated[tuple[str, ...], tyro.conf.arg(metavar='FILE [...]', help_behavior_hint='(optional)')]
BeamOptions = Annotated[str | None, tyro.conf.arg(metavar='NAME=VALUE,...', help_behavior_hint='(optional)')]
Records = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='RECORDS')]


def prepare(
  videos: Videos,
  out: Folder,
  dataset: Literal['folder', 'mead', 'hdtf', 'mead+hdtf', 'voxceleb'] = 'folder',
  metadata: OptionalFile = None,
  split_files: SplitFiles = (),
  people_apart: bool = False,
  landmarks: OptionalFolder = None,
  size: int = 256,
  crop: Literal['face', 'tube', 'template'] = 'face',
  template: OptionalFile = None,
  workers: int = 2,
  beam: BeamOptions = None,
  max_rejected: float = 0.5,
  limits: Limits = (),
) -> None:
  """Cuts faces out of raw videos and writes the records that training reads.

  Example: edtalk prepare videos --out records

  Videos may have any frame rate, size or orientation. Run it again with the same arguments to go on where it was
  stopped, or to add videos. docs/data.md explains records, splits and reasons for rejection, docs/datasets.md how the
  files of MEAD, HDTF and VoxCeleb are laid out.

  Args:
    videos: Videos, and folders that are searched for videos.
    out: Folder of the records.
    dataset: Whose tree of files it is: names, people, emotions and cuts follow from it.
    metadata: CSV with the columns id (file name without its ending), split, identity, emotion.
    split_files: Lists of names, called train.json, val.json, test.json; what no list names is left out.
    people_apart: Keep people whom the lists have in several splits in the first of them.
    landmarks: Folder with VIDEO_ID.npy, float [frames, 68, 2]; without it faces are found by the extra [faces].
    size: Side of the stored frames in pixels.
    crop: Which square is cut out: by the landmarks' extent, FOMM's tube of face boxes, or on a template.
    template: Landmarks that crop=template aims at, .npy [68, 2] in pixels of 256, as EDTalk's M003_template.npy.
    workers: Processes; 0 works in this one.
    beam: Options of Apache Beam (extra [beam]) for more than one machine, as in docs/datasets.md
    max_rejected: Share of videos without a usable face above which the job ends in an error.
    limits: Limits of quality to replace, e.g. max_yaw=45 min_sharpness=60; docs/quality.md has all.
  """
  from data_pipeline import job

  if not videos:
    raise UserError('edtalk prepare: give at least one video, or a folder of videos')
  config = _prepare_config(size, crop, template, limits)
  done = job.prepare_folder(
    videos,
    out,
    config,
    dataset=dataset,
    metadata=metadata,
    landmarks=landmarks,
    split_files=split_files,
    people_apart=people_apart,
    workers=workers,
    beam=beam,
    max_rejected=max_rejected,
  )
  _say_prepared(done, out)


def _prepare_config(size: int, crop: str, template: str | None, limits: Sequence[str]) -> 'PrepareConfig':
  """Returns how videos become clips. Raises UserError in one line that names the option."""
  from data_pipeline.cropping import read_template
  from data_pipeline.prepare import PrepareConfig
  from edtalk_jax import settings

  points = read_template(template) if template else ()
  try:
    config = PrepareConfig(size=size, crop=crop, template=points)
  except ValueError as error:
    raise UserError(f'--{error}') from None
  try:
    for name, _, value in (text.partition('=') for text in limits):
      config = settings.override(config, f'limits.{name}', value)
  except ValueError as error:
    raise UserError(f'--limits: {error}') from None
  return config


def _say_prepared(done: 'Summary', out: str) -> None:
  """Prints what a preparation did, and what may follow."""
  from data_pipeline.quality import verdict

  print(
    f'wrote {out}: {sum(done.clips.values())} clips, {done.frames} frames of '
    f'{done.videos - done.rejected} of {done.videos} videos'
  )
  for split, count in done.clips.items():
    print(f'  {split}: {count} clips')
  kinds = collections.Counter()
  for reason, count in done.reasons.items():
    kinds[verdict.kind(reason)] += count
  for kind, count in kinds.most_common(5):
    print(f'  rejected {count}: {kind}')
  print(f'every clip and every reason: {done.manifest}')
  print(f'next: edtalk train --config configs/tiny.py --workdir runs/first --data {out}')


def data_report(
  records: Records,
  out: OptionalFile = None,
  show: int = 96,
  measure: int = 200,
) -> None:
  """Writes a page that shows what a data set holds: counts, histograms, a contact sheet, and what was rejected.

  Example: edtalk data-report records --out report.html

  The page needs nothing beside itself. docs/quality.md explains every measure.

  Args:
    records: Folder of records, as `edtalk prepare` or `edtalk make-synthetic` wrote it.
    out: The page, instead of RECORDS/report.html.
    show: Clips on the contact sheet, people in turn.
    measure: Clips to measure now, where the manifest has no figures (rendered clips).
  """
  import rich.console
  import rich.progress

  from edtalk_jax.evaluation import data_report as page

  for name, value in (('show', show), ('measure', measure)):
    if value < 0:
      raise UserError(f'--{name} must be at least 0, got {value}')
  target = out or os.path.join(records, 'report.html')
  with rich.progress.Progress(console=rich.console.Console(stderr=True), transient=True) as bar:
    task = bar.add_task('reading', total=None)
    found = page.write(
      records,
      target,
      show=show,
      measure=measure,
      done=lambda count, total: bar.update(task, completed=count, total=total),
    )
  print(f'wrote {target}: {len(found.kept)} clips, {len(found.rejected)} rejections')
