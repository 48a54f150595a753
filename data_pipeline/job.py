"""The preparation job: many videos -> records, resumable, with a manifest that names every clip and every reason."""

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_pipeline import cache, identities, prepare
from data_pipeline.datasets import folder as folder_dataset
from data_pipeline.datasets import schema
from data_pipeline.errors import DataError, RejectedVideo

_ENDINGS = {'.mp4', '.mov', '.mkv', '.avi', '.webm', '.mpg', '.mpeg', '.m4v', '.flv', '.wmv', '.ts', '.3gp', '.gif'}
_METADATA_NAMES = ('metadata.csv', 'clips.csv')
MANIFEST, SPLITS_FILE = 'manifest.jsonl', 'splits.json'


@dataclasses.dataclass(frozen=True)
class Video:
  """One input: its file, its name in the records, and the landmarks given for it, if any."""

  path: pathlib.Path
  video_id: str
  landmarks: pathlib.Path | None = None


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


def prepare_folder(inputs: Sequence[str | os.PathLike], out: str | os.PathLike,
                   config: prepare.PrepareConfig | None = None, *, metadata: str | os.PathLike | None = None,
                   landmarks: str | os.PathLike | None = None, workers: int = 2, max_rejected: float = 0.5,
                   console: Console | None = None) -> Summary:
  """Prepares videos into records; run again with the same arguments, it does only what is missing.

  Args:
    inputs: videos and folders of videos (searched recursively).
    out: folder of the result; give it to `records.Clips`.
    config: how videos become clips.
    metadata: CSV with the columns id, split, identity, emotion (see `identities.read_metadata`); by default a
      metadata.csv or clips.csv in an input folder or its parent.
    landmarks: folder with `<video_id>.npy`; by default `<stem>.npy` beside each video, else faces are detected.
    workers: processes; 0 works in this one.
    max_rejected: share of videos without a clip above which the job ends in an error, after writing the others.
    console: where to report; by default stderr.

  Raises:
    DataError: in one line, for a mistake in the arguments, no clip at all, or too many rejected videos.
  """
  config = config or prepare.PrepareConfig()
  console = console or Console(stderr=True)
  out = pathlib.Path(out)
  videos = find_videos(inputs, landmarks)
  labels = _labels(videos, inputs, metadata, console)
  if not all(video.landmarks for video in videos):
    _check_detector()
  (out / 'cache').mkdir(parents=True, exist_ok=True)
  entries, resumed = _process(videos, out / 'cache', config, workers, console)
  useful = [video for video in videos if entries[video].outcome()['clips']]
  splits = _splits([labels[video] for video in useful], out / SPLITS_FILE)
  rows = [row for video in videos for row in _rows(video, entries[video], labels[video], splits)]
  _write_atomically(out / MANIFEST, ''.join(json.dumps(row, ensure_ascii=False) + '\n' for row in rows))
  summary = _summary(out, videos, entries, rows, resumed)
  if not summary.frames:
    raise DataError(f'none of {len(videos)} videos gave a clip; reasons in {summary.manifest}, the first: '
                    f'{next(iter(summary.reasons), "none")}')
  if _outdated(out, rows):
    _write_records(out, videos, entries, labels, splits, config, rows, console)
  if summary.rejected > max_rejected * len(videos):
    raise DataError(f'{summary.rejected} of {len(videos)} videos gave no clip, more than {max_rejected:.0%}; reasons '
                    f'in {summary.manifest}. The others are in {out}; --max-rejected sets the limit')
  return summary


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


def _labels(videos, inputs, metadata, console: Console) -> dict[Video, identities.Label]:
  """Returns what is known of each video: from the CSV, else from its name."""
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


def _check_detector() -> None:
  from data_pipeline import faces

  faces.LandmarkDetector()


def _splits(labels: Iterable[identities.Label], path: pathlib.Path) -> dict[str, str]:
  """Assigns splits and remembers them, so that videos added later never move an identity."""
  kept = json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}
  splits = identities.assign_splits(labels, kept)
  _write_atomically(path, json.dumps(kept | splits, ensure_ascii=False, indent=1, sort_keys=True))
  return splits


def _process(videos: list[Video], root: pathlib.Path, config, workers: int, console: Console):
  """Works on what is missing. Returns ({video: finished cache entry}, how many were finished before)."""
  entries, missing = {}, []
  for video in videos:
    entries[video] = cache.Entry(root, video.video_id, _key(video, config))
    if not entries[video].done:
      missing.append(video)
  columns = (TextColumn('Preparing'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
             TextColumn('{task.fields[last]}'))
  with Progress(*columns, console=console) as progress:
    task = progress.add_task('', total=len(videos), completed=len(videos) - len(missing), last='')
    for video in _run(missing, entries, config, workers):
      progress.update(task, advance=1, last=video.video_id[-40:])
  return entries, len(videos) - len(missing)


def _key(video: Video, config: prepare.PrepareConfig) -> str:
  """Digest of everything that the result of a video depends on."""
  try:
    parts = [cache.file_digest(video.path), config.fingerprint(), video.video_id]
    if video.landmarks:
      parts.append(cache.file_digest(video.landmarks))
  except OSError as error:
    raise DataError(f'{video.path}: cannot be read ({error.strerror})') from None
  return _digest_of(parts)


def _digest_of(parts: Sequence[str]) -> str:
  return hashlib.sha256('\n'.join(parts).encode()).hexdigest()


def _run(videos: list[Video], entries, config, workers: int) -> Iterator[Video]:
  """Yields each video when it is dealt with. A process that dies takes only its own video along."""
  work = functools.partial(_prepare_one, config=config)
  if not workers:
    for video in videos:
      work(video, entries[video])
      yield video
    return
  remaining = collections.deque(videos)
  while remaining:
    suspects = []
    for video, alive in _pooled(work, remaining, entries, workers):
      if alive:
        yield video
      else:
        suspects.append(video)
    # A dying process takes the whole pool along. Alone, each video shows whether it was the one.
    for video in suspects:
      for _, alive in _pooled(work, collections.deque([video]), entries, 1):
        if not alive:
          entries[video].begin()
          entries[video].finish(_rejection(video, 'the decoder crashed'))
      yield video


def _pooled(work: Callable, remaining: collections.deque[Video], entries, workers: int) -> Iterator[tuple[Video, bool]]:
  """Takes videos from `remaining` and yields (video, whether its process lived), until all are done or one died."""
  # spawn: forking a process that holds threads (the progress bar, or JAX in a notebook) may deadlock.
  pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context('spawn'))
  waiting: dict[concurrent.futures.Future, Video] = {}
  broken = False
  try:
    while waiting or (remaining and not broken):
      # Few at a time, so that few are under suspicion when a process dies.
      while remaining and not broken and len(waiting) < 2 * workers:
        waiting[pool.submit(work, remaining[0], entries[remaining[0]])] = remaining[0]
        remaining.popleft()
      done, _ = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
      for future in done:
        error = future.exception()
        if error is not None and not isinstance(error, BrokenProcessPool):
          raise error
        broken = broken or error is not None
        yield waiting.pop(future), error is None
  finally:
    pool.shutdown(wait=True, cancel_futures=True)


@functools.cache
def _detector():
  from data_pipeline import faces

  return faces.LandmarkDetector()


def _prepare_one(video: Video, entry: cache.Entry, config: prepare.PrepareConfig) -> None:
  """Prepares one video into its cache entry; whatever is wrong with the video ends as a reason there."""
  entry.begin()
  try:
    given = _load_landmarks(video)
    outcome = {'source_sha256': cache.file_digest(video.path), 'rejected': [], 'clips': 0}
    for item in prepare.prepare_video(video.path, config, None if given is not None else _detector(), given):
      if isinstance(item, prepare.RejectedClip):
        outcome['rejected'].append(dataclasses.asdict(item))
      else:
        outcome['clips'] += 1
        entry.add(outcome['clips'], item)
  except RejectedVideo as error:
    entry.begin()
    outcome = _rejection(video, str(error))
  except DataError:
    raise
  except Exception as error:  # one bad video must never end a job of thousands
    entry.begin()
    outcome = _rejection(video, f'unexpected {type(error).__name__}: {error}'.splitlines()[0])
  entry.finish(outcome)


def _rejection(video: Video, reason: str) -> dict[str, Any]:
  return {'source_sha256': cache.file_digest(video.path), 'clips': 0,
          'rejected': [dataclasses.asdict(prepare.RejectedClip(0, 0, reason))]}


def _load_landmarks(video: Video) -> np.ndarray | None:
  if video.landmarks is None:
    return None
  try:
    return np.load(video.landmarks, allow_pickle=False)
  except (OSError, ValueError, EOFError) as error:
    raise RejectedVideo(f'landmarks {video.landmarks.name} cannot be read ({str(error).splitlines()[0]})') from None


def _rows(video: Video, entry: cache.Entry, label: identities.Label, splits) -> Iterator[dict[str, Any]]:
  """Yields the manifest's lines for one video."""
  outcome = entry.outcome()
  common = {'video': video.video_id, 'file': video.path.name, 'source_sha256': outcome['source_sha256'],
            'identity': label.identity, 'emotion': label.emotion, 'split': splits.get(label.identity)}
  for rejected in outcome['rejected']:
    yield {'clip': None, **common, 'begin_frame': rejected['begin_frame'], 'frames': rejected['count'],
           'crop_box': None, 'status': 'rejected', 'reason': rejected['reason']}
  for number, clip in entry.clips():
    yield {'clip': f'{video.video_id}#{number}', **common, 'begin_frame': clip.begin_frame, 'frames': len(clip.frames),
           'crop_box': [int(v) for v in clip.crop_box], 'has_audio': clip.has_audio,
           'landmarks_missing': int((clip.landmarks_valid == 0).sum()), 'status': 'ok', 'reason': '; '.join(clip.notes)}


def _summary(out: pathlib.Path, videos, entries, rows, resumed: int) -> Summary:
  clips, reasons, frames = {}, {}, 0
  for row in rows:
    if row['status'] == 'ok':
      clips[row['split']] = clips.get(row['split'], 0) + 1
      frames += row['frames']
    else:
      reasons[row['reason']] = reasons.get(row['reason'], 0) + 1
  good = {row['video'] for row in rows if row['status'] == 'ok'}
  return Summary(out, len(videos), len(videos) - len(good), resumed,
                 {split: clips[split] for split in identities.SPLITS if split in clips}, frames,
                 dict(sorted(reasons.items(), key=lambda item: -item[1])), out / MANIFEST)


def _digest_file(out: pathlib.Path) -> pathlib.Path:
  return out / folder_dataset.NAME / schema.VERSION / 'made_from.txt'


def _outdated(out: pathlib.Path, rows) -> bool:
  path = _digest_file(out)
  return not path.is_file() or path.read_text(encoding='utf-8') != _digest_of([json.dumps(rows)])


def _write_records(out, videos, entries, labels, splits, config, rows, console: Console) -> None:
  """Builds the data set from the cache, with its index, and notes what it was made from."""
  from data_pipeline import records

  used = {row['split'] for row in rows if row['status'] == 'ok'}
  with console.status('Writing records'):
    sources = {split: functools.partial(_records, split, videos, entries, labels, splits, config)
               for split in identities.SPLITS if split in used}
    folder = folder_dataset.write(out, sources)
    records.write_index(folder)
    _write_atomically(_digest_file(out), _digest_of([json.dumps(rows)]))


def _records(split, videos, entries, labels, splits, config) -> Iterator[schema.Record]:
  for video in videos:
    label = labels[video]
    if splits.get(label.identity) != split:
      continue
    digest = entries[video].outcome()['source_sha256']
    for number, clip in entries[video].clips():
      values = {f.name: getattr(clip, f.name) for f in dataclasses.fields(clip) if f.name not in ('notes', 'frames')}
      values['jpeg'], values['jpeg_ends'] = schema.join_jpeg(clip.frames)
      yield schema.Record(clip_id=f'{video.video_id}#{number}', video_id=video.video_id, identity=label.identity,
                          emotion=label.emotion, emotion_level=label.level, source_sha256=digest, size=config.size,
                          **values)


def _write_atomically(path: pathlib.Path, text: str) -> None:
  temporary = path.with_name(f'.{path.name}.partial')
  temporary.write_text(text, encoding='utf-8')
  os.replace(temporary, path)
