"""The preparation job: many videos -> records, resumable, with a manifest that names every clip and every reason."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_pipeline import (
  beam_runner,
  cache,
  cutting,
  digests,
  identities,
  index,
  inputs,
  prepare,
  records,
  split_lists,
  thumbnails,
  trees,
  worker,
)
from data_pipeline.datasets import distributed as datasets
from data_pipeline.datasets import folder as folder_dataset
from data_pipeline.datasets import schema
from data_pipeline.errors import DataError, machine_fault
from data_pipeline.quality import duplicates

MANIFEST, SPLITS_FILE, SPLITS_REPORT = 'manifest.jsonl', 'splits.json', 'splits_report.json'
_Labels = Mapping[inputs.Video, identities.Label]
# Prepares tasks into their cache entries and yields each when it is dealt with.
_Run = Callable[[Sequence[worker.Task], prepare.PrepareConfig], Iterator[worker.Task]]


@dataclasses.dataclass(frozen=True)
class Summary:
  """What a job did.

  Attributes:
    records: the folder of the data set.
    videos, rejected: how many videos there were, and how many gave no clip.
    resumed: how many videos were already finished by an earlier run.
    clips: clips in each split.
    frames: frames in all clips.
    reasons: reason -> how often, over whole videos and single clips.
    manifest: one JSON object a line, for each clip and each rejection.
  """

  records: pathlib.Path
  videos: int
  rejected: int
  resumed: int
  clips: dict[str, int]
  frames: int
  reasons: dict[str, int]
  manifest: pathlib.Path


def prepare_folder(
  videos: Sequence[str | os.PathLike],
  out: str | os.PathLike,
  config: prepare.PrepareConfig | None = None,
  *,
  dataset: str = trees.FOLDER,
  metadata: str | os.PathLike | None = None,
  landmarks: str | os.PathLike | None = None,
  split_files: Sequence[str | os.PathLike] = (),
  people_apart: bool = False,
  workers: int = 2,
  beam: Any = None,
  max_rejected: float = 0.5,
  console: Console | None = None,
  prepare_video: worker.PrepareVideo = prepare.prepare_video,
) -> Summary:
  """Prepares videos into records; run again with the same arguments, it does only what is missing.

  Args:
    videos: files and folders (searched recursively).
    out: folder of the result; give it to `records.Clips`.
    config: how videos become clips.
    dataset: whose tree of files it is, one of `trees.NAMES`.
    metadata: CSV with the columns id, split, identity, emotion (see `identities.read_metadata`); by default a
      metadata.csv or clips.csv in an input folder or its parent, if these are a plain folder of videos.
    landmarks: folder with `<video_id>.npy`; by default `<stem>.npy` beside each video, else faces are detected.
    split_files: lists of names by split, see `split_lists`.
    people_apart: whether people whom the lists have in several splits are kept in one.
    workers: processes; 0 works in this one.
    beam: options of an Apache Beam pipeline, which then does the work of the processes; see `beam_runner`.
    max_rejected: share of videos without a clip above which the job ends in an error, after writing the others.
    console: where to report; by default stderr.
    prepare_video: turns one video into clips. What it made of a video is kept in `out`: one `out` for each function.

  Raises:
    DataError: in one line, for a mistake in the arguments, a fault of the machine such as a full disk, no clip at all,
      or too many rejected videos.
  """
  if workers < 0:
    raise DataError(f'--workers must be at least 0, got {workers}')
  if not 0 <= max_rejected <= 1:
    raise DataError(f'--max-rejected must be between 0 and 1, got {max_rejected}')
  out = pathlib.Path(out)
  if out.exists() and not out.is_dir():
    raise DataError(f'--out {out}: expected a folder, found a file')
  console = console or Console(stderr=True)
  listing = _list(videos, dataset, metadata, landmarks, console)
  people = {video.video_id: label.identity for video, label in listing.labels.items()}
  given = split_lists.read(split_files)
  if split_files:
    listing = split_lists.apply(listing, given, people_apart=people_apart)
  for note in listing.notes:
    console.print(note, highlight=False, soft_wrap=True)
  if not all(video.landmarks for video in listing.videos):
    worker.detector_of_process()  # a missing detector is better known before hours of work
  run = functools.partial(worker.prepare_all, workers=workers, prepare_video=prepare_video)
  if beam:
    run = functools.partial(beam_runner.prepare_all, options=beam, prepare_video=prepare_video)
  with _machine_faults_in_one_line(out):
    (out / 'cache').mkdir(parents=True, exist_ok=True)
    report = functools.partial(split_lists.report, people=people, given=given)
    return _prepare(
      listing, report, out, config or prepare.PrepareConfig(), datasets.BUILDERS[dataset], run, max_rejected, console
    )


def _list(
  videos: Sequence[str | os.PathLike],
  dataset: str,
  metadata: str | os.PathLike | None,
  landmarks: str | os.PathLike | None,
  console: Console,
) -> inputs.Listing:
  """Returns the jobs, and what is known of each video."""
  if dataset == trees.FOLDER:
    found, known, notes = inputs.find_videos(videos, landmarks), {}, ()
    table = pathlib.Path(metadata) if metadata is not None else inputs.nearby_metadata(videos)
  else:
    listing = inputs.with_landmarks(trees.find(dataset, videos), landmarks)
    found, known, notes = listing.videos, listing.labels, listing.notes
    table = pathlib.Path(metadata) if metadata is not None else None
  return inputs.Listing(found, inputs.find_labels(found, table, console, known), notes)


@contextlib.contextmanager
def _machine_faults_in_one_line(out: pathlib.Path) -> Iterator[None]:
  try:
    yield
  except OSError as error:
    where = f' ({error.filename})' if error.filename else ''
    raise DataError(
      f'{out}: stopped, {error.strerror or error}{where}; finished videos are kept, the same command goes on from here'
    ) from None


def _prepare(
  listing: inputs.Listing,
  report: Callable[..., dict[str, Any]],
  out: pathlib.Path,
  config: prepare.PrepareConfig,
  builder: type[folder_dataset.Folder],
  run: _Run,
  max_rejected: float,
  console: Console,
) -> Summary:
  videos, labels = listing.videos, listing.labels
  _refuse_other_records(out, builder)
  tasks, resumed = _process(videos, out / 'cache', config, run, console)
  outcomes = {task.video: task.entry.outcome() for task in tasks}
  splits = _splits([labels[video] for video in videos if outcomes[video].clips], out / SPLITS_FILE)
  twins = _twins(tasks, outcomes) if config.limits.duplicates else {}
  rows = [row for task in tasks for row in _rows(task, outcomes[task.video], labels[task.video], splits, twins)]
  thumbnails.write(out, _thumbnails(tasks, outcomes, twins))
  _write_atomically(out / MANIFEST, ''.join(json.dumps(row, ensure_ascii=False) + '\n' for row in rows))
  _write_atomically(out / SPLITS_REPORT, json.dumps(report(rows), ensure_ascii=False, indent=1))
  summary = _summary(out, videos, rows, resumed)
  if not summary.frames:
    raise DataError(
      f'none of {len(videos)} videos gave a clip; reasons in {summary.manifest}, the first: '
      f'{next(iter(summary.reasons), "none")}'
    )
  if _outdated(out, builder, rows):
    _write_records(out, builder, tasks, labels, splits, config, rows, console)
  if summary.rejected > max_rejected * len(videos):
    raise DataError(
      f'{summary.rejected} of {len(videos)} videos gave no clip, more than {max_rejected:.0%}; reasons '
      f'in {summary.manifest}. The others are in {out}; --max-rejected sets the limit'
    )
  return summary


def _refuse_other_records(out: pathlib.Path, builder: type[folder_dataset.Folder]) -> None:
  """Raises DataError if `out` holds a data set of another kind: readers expect one."""
  for other in datasets.BUILDERS.values():
    if other is not builder and (out / other.name).exists():
      raise DataError(f'--out {out}: holds the data set {other.name} already; choose another folder for {builder.name}')


def _process(
  videos: Sequence[inputs.Video], root: pathlib.Path, config: prepare.PrepareConfig, run: _Run, console: Console
) -> tuple[list[worker.Task], int]:
  """Works on what is missing. Returns (all tasks, each with a finished entry, how many were finished before)."""
  digest = functools.cache(digests.of_file)  # many takes may lie in one file
  tasks = [_task(video, root, config, digest) for video in videos]
  missing = [task for task in tasks if task.source_sha256 and not task.entry.done]
  unreadable = sum(not task.source_sha256 for task in tasks)
  columns = (
    TextColumn('Preparing'),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
    TextColumn('{task.fields[last]}'),
  )
  with Progress(*columns, console=console) as progress:
    bar = progress.add_task('', total=len(videos), completed=len(videos) - len(missing), last='')
    for task in run(missing, config):
      progress.update(bar, advance=1, last=task.video.video_id[-40:])
  return tasks, len(videos) - len(missing) - unreadable


def _task(
  video: inputs.Video, root: pathlib.Path, config: prepare.PrepareConfig, digest: Callable[[pathlib.Path], str]
) -> worker.Task:
  """Names the entry of a video after all that its result depends on; one that cannot be read is rejected at once."""
  parts = [config.fingerprint(), video.video_id, *video.excerpt.key()]
  reading = video.path
  try:
    source = digest(reading)
    for beside in filter(None, (video.landmarks, video.excerpt.sound)):
      reading = beside
      parts.append(digest(reading))
  except OSError as error:
    if machine_fault(error):
      raise
    entry = cache.Entry(root, video.video_id, digests.of_texts(parts))
    worker.reject(entry, f'{reading.name} cannot be read ({error.strerror})')
    return worker.Task(video, entry, '')
  return worker.Task(video, cache.Entry(root, video.video_id, digests.of_texts([source, *parts])), source)


def _splits(labels: Iterable[identities.Label], path: pathlib.Path) -> dict[str, str]:
  """Assigns splits and remembers them, so that videos added later never move an identity."""
  kept = _kept_splits(path) if path.exists() else {}
  splits = identities.assign_splits(labels, kept)
  _write_atomically(path, json.dumps(kept | splits, ensure_ascii=False, indent=1, sort_keys=True))
  return splits


def _kept_splits(path: pathlib.Path) -> dict[str, str]:
  try:
    kept = json.loads(path.read_text(encoding='utf-8'))
  except ValueError:
    kept = None
  if not isinstance(kept, dict) or not all(split in identities.SPLITS for split in kept.values()):
    raise DataError(
      f'{path}: corrupt, expected an object {{identity: {" | ".join(identities.SPLITS)}}}; restore it, '
      'or delete it to have people assigned anew'
    )
  return kept


def _twins(tasks: Sequence[worker.Task], outcomes: Mapping[inputs.Video, cache.Outcome]) -> dict[str, duplicates.Twin]:
  """Returns the clips that show what an earlier one, of another video, shows."""
  found = {
    cutting.clip_id(task.video.video_id, clip['number']): (task, clip['number'], clip)
    for task in tasks
    for clip in outcomes[task.video].clips
  }
  candidates = [
    duplicates.Candidate(name, task.video.video_id, int(clip['picture_hash'], 16))
    for name, (task, _, clip) in found.items()
  ]

  def trace(name: str) -> duplicates.Trace:
    task, number, _ = found[name]
    return duplicates.Trace(duplicates.motion(task.entry.peek(number, 'landmarks')), task.entry.peek(number, 'mel'))

  return duplicates.find(candidates, trace)


def _thumbnails(
  tasks: Sequence[worker.Task], outcomes: Mapping[inputs.Video, cache.Outcome], twins: Mapping[str, duplicates.Twin]
) -> dict[str, str]:
  """Returns pictures of what is rejected by the names of their files."""
  shown = {}
  for task in tasks:
    video, outcome = task.video, outcomes[task.video]
    shown |= {
      thumbnails.name_of(video.video_id, run.begin_frame): run.thumbnail for run in outcome.rejected if run.thumbnail
    }
    for clip in outcome.clips:
      number = clip['number']
      if cutting.clip_id(video.video_id, number) in twins:
        first = task.entry.peek(number, 'jpeg')[: task.entry.peek(number, 'jpeg_ends')[0]]
        shown[thumbnails.name_of(video.video_id, clip['begin_frame'])] = thumbnails.of_jpeg(first.tobytes())
  return shown


def _rows(
  task: worker.Task, outcome: cache.Outcome, label: identities.Label, splits, twins: Mapping[str, duplicates.Twin]
) -> Iterator[dict[str, Any]]:
  """Yields the manifest's lines for one video."""
  video = task.video
  common = {
    'video': video.video_id,
    'file': video.path.name,
    'source_sha256': task.source_sha256,
    'identity': label.identity,
    'emotion': label.emotion,
    'split': splits.get(label.identity),
  }
  for run in outcome.rejected:
    yield {
      'clip': None,
      **common,
      'begin_frame': run.begin_frame,
      'frames': run.count,
      'crop_box': None,
      **run.measures,
      'status': 'rejected',
      'reason': run.reason,
    }
  for clip in outcome.clips:
    name = cutting.clip_id(video.video_id, clip['number'])
    told = {key: value for key, value in clip.items() if key != 'number'}
    if name in twins:
      yield {'clip': None, **common, **told, 'status': 'rejected', 'reason': twins[name].reason}
    else:
      yield {'clip': name, **common, **told, 'status': 'ok'}


def _summary(out: pathlib.Path, videos, rows, resumed: int) -> Summary:
  clips, reasons, frames = {}, {}, 0
  for row in rows:
    if row['status'] == 'ok':
      clips[row['split']] = clips.get(row['split'], 0) + 1
      frames += row['frames']
    else:
      reasons[row['reason']] = reasons.get(row['reason'], 0) + 1
  good = {row['video'] for row in rows if row['status'] == 'ok'}
  return Summary(
    out,
    len(videos),
    len(videos) - len(good),
    resumed,
    {split: clips[split] for split in identities.SPLITS if split in clips},
    frames,
    dict(sorted(reasons.items(), key=lambda item: -item[1])),
    out / MANIFEST,
  )


def _digest_file(out: pathlib.Path, builder: type[folder_dataset.Folder]) -> pathlib.Path:
  return out / builder.name / schema.VERSION / 'made_from.txt'


def _outdated(out: pathlib.Path, builder: type[folder_dataset.Folder], rows) -> bool:
  """Whether the records were made from something else, or are no longer whole."""
  path = _digest_file(out, builder)
  try:
    made_from = path.read_text(encoding='utf-8')
    whole = bool(records.splits(path.parent)) and index.read(path.parent) is not None
  except (FileNotFoundError, DataError):
    return True
  return not whole or made_from != digests.of_texts([json.dumps(rows)])


def _write_records(
  out,
  builder: type[folder_dataset.Folder],
  tasks: Sequence[worker.Task],
  labels: _Labels,
  splits,
  config,
  rows,
  console: Console,
) -> None:
  """Builds the data set from the cache, with its index, and notes what it was made from."""
  used = {row['split'] for row in rows if row['status'] == 'ok'}
  with console.status('Writing records'):
    kept = {row['clip'] for row in rows}
    sources = {
      split: functools.partial(_records, split, tasks, labels, splits, kept, config)
      for split in identities.SPLITS
      if split in used
    }
    folder = folder_dataset.write(out, sources, builder)
    records.write_index(folder)
    _write_atomically(_digest_file(out, builder), digests.of_texts([json.dumps(rows)]))


def _records(
  split: str, tasks: Sequence[worker.Task], labels: _Labels, splits, kept: set[str], config
) -> Iterator[schema.Record]:
  for task in tasks:
    video, label = task.video, labels[task.video]
    if splits.get(label.identity) != split:
      continue
    for clip in task.entry.clips():
      name = cutting.clip_id(video.video_id, clip.number)
      if name not in kept:
        continue
      values = {
        f.name: getattr(clip, f.name) for f in dataclasses.fields(clip) if f.name not in ('number', *cache.NOT_STORED)
      }
      values['jpeg'], values['jpeg_ends'] = schema.join_jpeg(clip.frames)
      yield schema.Record(
        clip_id=name,
        video_id=video.video_id,
        identity=label.identity,
        emotion=label.emotion,
        emotion_level=label.level,
        source_sha256=task.source_sha256,
        size=config.size,
        **values,
      )


def _write_atomically(path: pathlib.Path, text: str) -> None:
  temporary = path.with_name(f'.{path.name}.partial')
  temporary.write_text(text, encoding='utf-8')
  os.replace(temporary, path)
