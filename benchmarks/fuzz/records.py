"""Damaged records, read as a run reads them: with `data.on_corrupt` stop and skip."""

import functools
import pathlib
import random
import shutil

import numpy as np

from benchmarks.fuzz import damage
from benchmarks.fuzz.trial import REFUSED, TRACEBACK, WRONG, Trial, Wrong, judge
from data_pipeline import loader, records
from data_pipeline.datasets import synthetic
from data_pipeline.synthetic import clip

UNTOUCHED, SKIPPED = 'as written', 'skipped and counted'
OUTCOMES = (UNTOUCHED, SKIPPED, REFUSED, WRONG, TRACEBACK)
PLAN = clip.Plan(clips=24, people=6, size=32, seed=3, frames=5)
SPLIT, SIZE = 'train', 16
BATCHES = 8  # of 8 examples, some epochs: every clip is read


def make(folder: pathlib.Path) -> None:
  """Writes records of rendered heads."""
  synthetic.make(PLAN, folder, workers=0)


def trial(pristine: pathlib.Path, folder: pathlib.Path, seed: int) -> Trial:
  """Damages a copy of the records `pristine` as `seed` says, then reads every example."""
  rng = random.Random(seed)
  shutil.copytree(pristine, folder)
  root = folder / records.find_dataset(pristine).relative_to(pristine)
  done = [_damage(root, rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
  return judge(done, {way: functools.partial(_read, pristine, folder, way == 'skip') for way in ('stop', 'skip')})


def _damage(root: pathlib.Path, rng: random.Random) -> str:
  """Damages a shard of the split that is read, or one of the small files beside it; mostly bits of the shard."""
  shards = [path for path in root.glob(f'*{SPLIT}.array_record*') if path.is_file()]
  if not shards:
    return 'nothing left to damage'
  beside = sorted(path for path in root.iterdir() if path.is_file())
  victim, kinds = (shards[0], damage.OF_BYTES) if rng.random() < 0.6 else (rng.choice(beside), damage.OF_FILES)
  kind = rng.choice(sorted(kinds))
  kinds[kind](victim, rng)
  return f'{kind}: {victim.relative_to(root)}'


def _read(pristine: pathlib.Path, folder: pathlib.Path, skip: bool) -> str:
  """Reads batches and compares them with those of the pristine records; returns the outcome.

  An example that names no corrupt record must be the same; one that does must still hold the pictures it says it holds.
  """
  whole, found = _batches(str(pristine), False), _batches(str(folder), skip)
  substituted = 0
  for step in range(BATCHES):
    expected, batch = whole[step], found[step]
    for place, corrupt in enumerate(batch['corrupt']):
      substituted += bool(corrupt)
      for name in () if corrupt else expected:
        if not np.array_equal(batch[name][place], expected[name][place]):
          raise Wrong(f'batch {step}, example {place}: other {name}, without a word')
      for origin in batch['origin'][place]:
        name, _, frame = str(origin).partition('=')
        if not np.array_equal(batch[name][place], _picture(str(pristine), frame)):
          raise Wrong(f'batch {step}, example {place}: {name} is not {frame}')
  if substituted and not skip:
    raise Wrong(f'{substituted} examples were replaced, though data.on_corrupt=stop')
  return SKIPPED if substituted else UNTOUCHED


def _batches(folder: str, skip: bool) -> loader.Batches:
  return loader.Batches(
    folder, split=SPLIT, sampler='reconstruction', image_size=SIZE, batch_size=8, seed=1, skip_corrupt=skip
  )


@functools.cache
def _picture(folder: str, frame: str) -> np.ndarray:
  """The picture that an origin 'clip:frame' names."""
  clip_id, _, number = frame.rpartition(':')
  return next(found for found in records.Clips(folder, SPLIT) if found.clip_id == clip_id).frame(int(number), SIZE)
