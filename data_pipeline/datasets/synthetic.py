"""Synthetic talking heads as a TFDS dataset, or as videos for `edtalk prepare`."""

import concurrent.futures
import contextlib
import csv
import functools
import io
import itertools
import json
import multiprocessing
import os
import pathlib
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from data_pipeline import media, records, transcripts
from data_pipeline.datasets import folder, schema
from data_pipeline.errors import DataError
from data_pipeline.pool import end_with_parent
from data_pipeline.synthetic import clip

NAME = 'synthetic'
VIDEOS, PLAN_FILE = 'videos', 'plan.json'


class Synthetic(folder.Folder):
  """Records with the exact factors and masks of every frame, beside the usual fields."""

  name = NAME

  def _info(self) -> folder.Info:
    return folder.Info(
      builder=self, features=schema.features(truth=True), description='Talking heads rendered from known factors.'
    )


def make(
  plan: clip.Plan,
  out: str | os.PathLike,
  *,
  mp4: bool = False,
  workers: int = 2,
  done: Callable[[int], None] = lambda count: None,
) -> dict[str, int]:
  """Writes a data set that `records.Clips` reads; the same plan gives the same bytes for every number of workers.

  Args:
    plan: what to make.
    out: folder of the result; what an earlier run left there is replaced when the new data set is whole.
    mp4: also write OUT/videos: NAME.mp4, NAME.npy (landmarks) and clips.csv, which `edtalk prepare OUT/videos` reads.
    workers: processes; 0 works in this one.
    done: called with the number of finished clips.

  Returns:
    The number of clips in each split.

  Raises:
    DataError: if `out` holds another kind of data set, or a folder of videos that is not from here.
  """
  out = pathlib.Path(out)
  if (out / folder.NAME).exists():
    raise DataError(f'--out {out}: holds prepared videos already; choose another folder')
  videos = _clear_videos(out) if mp4 else None
  out.mkdir(parents=True, exist_ok=True)
  (out / PLAN_FILE).write_text(json.dumps(vars(plan)) + '\n', encoding='utf-8')
  splits = plan.splits()
  order = [number for numbers in splits.values() for number in numbers]
  with contextlib.closing(_in_order(functools.partial(_make_clip, plan, videos), order, workers)) as finished:
    texts: list[tuple[str, str]] = []
    counted = _counted(_transcribed(finished, plan, order, texts), done)
    # The builder writes one split after the other, in this order, and asks for each once.
    sources = {split: functools.partial(itertools.islice, counted, len(numbers)) for split, numbers in splits.items()}
    records.write_index(folder.write(out, sources, Synthetic))
  transcripts.write(out, texts)
  if videos:
    (videos / 'clips.csv').write_text(_table(plan, splits), encoding='utf-8')
  return {split: len(numbers) for split, numbers in splits.items()}


def _clear_videos(out: pathlib.Path) -> pathlib.Path:
  """Returns an empty folder for the videos; removes those of an earlier run, and nobody else's."""
  videos = out / VIDEOS
  if videos.exists() and not (out / PLAN_FILE).is_file():
    raise DataError(f'--out {out}: holds a folder {VIDEOS} that make-synthetic did not write; choose another folder')
  shutil.rmtree(videos, ignore_errors=True)
  videos.mkdir(parents=True)
  return videos


def _make_clip(plan: clip.Plan, videos: pathlib.Path | None, number: int) -> schema.Record:
  """Returns the record of one clip; also writes its video into the folder `videos`, unless that is None."""
  shot = clip.take(plan, number)
  frames = clip.draw(shot, plan.size)
  if videos is not None:
    sound = shot.speech.waveform.astype(np.float32) / 32768
    media.write_video(videos / f'{shot.name}.mp4', [frame.image for frame in frames], audio=sound)
    np.save(videos / f'{shot.name}.npy', np.stack([frame.landmarks for frame in frames]))
  return clip.record(shot, frames, plan.size)


def _in_order(work: Callable[[int], schema.Record], numbers: Sequence[int], workers: int) -> Iterator[schema.Record]:
  """Yields work(number) in the order of the numbers, computed a few ahead by `workers` processes."""
  if not workers:
    yield from map(work, numbers)
    return
  # spawn: forking a process that holds threads may deadlock.
  context = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:
    waiting: deque[concurrent.futures.Future[schema.Record]] = deque()
    try:
      for number in numbers:
        waiting.append(pool.submit(work, number))
        if len(waiting) > 2 * workers:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      for future in waiting:
        future.cancel()


def _counted(items: Iterator[schema.Record], done: Callable[[int], None]) -> Iterator[schema.Record]:
  for count, item in enumerate(items, start=1):
    done(count)
    yield item


def _transcribed(
  items: Iterator[schema.Record], plan: clip.Plan, numbers: Sequence[int], texts: list[tuple[str, str]]
) -> Iterator[schema.Record]:
  """Appends the id and the words of each clip to `texts`."""
  for number, item in zip(numbers, items, strict=True):
    texts.append((item.video_id, clip.transcript(plan, number)))
    yield item


def _table(plan: clip.Plan, splits: dict[str, list[int]]) -> str:
  """Returns the CSV that names identity, emotion and split of every video."""
  homes = {number: split for split, numbers in splits.items() for number in numbers}
  table = io.StringIO()
  writer = csv.writer(table, lineterminator='\n')
  writer.writerow(['id', 'split', 'identity', 'emotion', 'intensity'])
  for number in range(plan.clips):
    shot = clip.take(plan, number)
    writer.writerow([shot.name, homes[number], shot.person.name, shot.emotion, shot.level])
  return table.getvalue()
