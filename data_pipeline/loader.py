"""Batches for one process of a training run, made by Grain's worker processes.

Global batch t holds examples [t B, (t + 1) B) of the order that the seed gives; process p of P gets the contiguous
slice p. Nothing depends on the number of workers, and step t is found without reading what precedes it.
"""

import atexit
import contextlib
import os
import re
import shutil
import signal
import tempfile
import weakref
from collections.abc import Iterator

import grain
import numpy as np
from absl import flags

from data_pipeline import pool, sampling
from data_pipeline.errors import DataError, WorkerLost
from data_pipeline.notes import Notes
from data_pipeline.records import Clips

_AHEAD = 2  # batches that each worker keeps ready
_CACHE_BYTES = 256 << 20  # clips that each worker keeps in memory
_ENDLESS = 1 << 40  # steps; Grain wants a length


class Batches:
  """Random access to this process's slice of every global batch, from step `start_step` on.

  Records are opened where they are read first, so that an instance can be sent to a worker process.
  """

  def __init__(
    self,
    records_dir: str | os.PathLike,
    *,
    split: str,
    sampler: str,
    image_size: int,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    mouth_canvas: int = 0,
    cache_bytes: int = _CACHE_BYTES,
    skip_corrupt: bool = False,
    motion: str = '',
    **options,
  ):
    if batch_size < 1 or batch_size % process_count:
      raise ValueError(f'batch_size must be a positive multiple of process_count = {process_count}, got {batch_size}')
    if not 0 <= process_index < process_count:
      raise ValueError(f'process_index must be in [0, {process_count}), got {process_index}')
    if start_step < 0:
      raise ValueError(f'start_step must be at least 0, got {start_step}')
    if image_size < 1:
      raise ValueError(f'image_size must be positive, got {image_size}')
    self._records_dir, self._split = os.fspath(records_dir), split
    self._sampler = sampling.get(sampler)
    self._options = sampling.Options(image_size, mouth_canvas, skip_corrupt, motion, self._records_dir, **options)
    self._batch_size, self._seed, self._start_step = batch_size, seed, start_step
    self._process_index, self._process_count = process_index, process_count
    self._cache_bytes = cache_bytes
    self._population: sampling.Population | None = None
    self.notes: Notes | None = None  # where workers note what they do

  def __len__(self) -> int:
    return _ENDLESS - self._start_step

  def __getitem__(self, step: int) -> dict[str, np.ndarray]:
    """Returns the slice of global batch start_step + step; each field uint8[b, size, size, 3], `index` int64[b].

    `origin` str[b, pictures] and `corrupt` str[b] are those of `sampling.Sampler.fields`.
    """
    share = self._batch_size // self._process_count
    begin = (self._start_step + int(step)) * self._batch_size + self._process_index * share
    examples = [self._example(position) for position in range(begin, begin + share)]
    if self.notes is not None:
      self.notes.begin(f'having made examples {begin} to {begin + share - 1}')
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}

  def _example(self, position: int) -> dict[str, np.ndarray]:
    if self.notes is not None:
      self.notes.begin(f'making example {position} of clip')
    return sampling.make_example(self.open(), self._sampler, self._seed, position, self._options)

  def open(self) -> sampling.Population:
    """Opens the records; called early to find a user's mistakes before any worker starts."""
    if self._population is None:
      clips, note = Clips(self._records_dir, self._split), None if self.notes is None else self.notes.add
      options = self._options
      self._population = sampling.Population(
        clips, self._sampler, self._cache_bytes, note, options.motion, options.identity, options.emotions
      )
    return self._population

  def __getstate__(self):
    return {**self.__dict__, '_population': None}

  def __setstate__(self, state):
    self.__dict__.update(state)
    _end_with_trainer(self.notes)


def _end_with_trainer(notes: Notes | None) -> None:
  """Ends a worker when its trainer is killed, with the folder that the trainer would have removed."""
  pool.end_with_parent(lambda: notes and shutil.rmtree(notes.folder, ignore_errors=True))


class Loader(Iterator[dict[str, np.ndarray]]):
  """An endless iterator of batches that ends its worker processes when closed (also as a context manager)."""

  def __init__(self, batches: Batches, workers: int):
    batches.open()
    self._folder = tempfile.TemporaryDirectory(prefix='edtalk-workers-') if workers else None
    self._notes = batches.notes = Notes(self._folder.name) if self._folder else None
    if not flags.FLAGS.is_parsed():
      flags.FLAGS.mark_as_parsed()  # Grain's workers read absl's flags, which nobody parses outside absl.app.run
    # One reading thread for each worker: decoding holds the interpreter's lock most of the time.
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=_AHEAD)
    dataset = grain.MapDataset.source(batches).to_iter_dataset(options)
    if workers:
      dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=_AHEAD))
    self._workers = workers
    with _deaf_workers():
      self._iterator = iter(dataset)
    # At exit multiprocessing sends SIGTERM to workers that are left and waits for them; they do not hear it.
    atexit.register(_close, weakref.ref(self))

  def __next__(self) -> dict[str, np.ndarray]:
    if self._iterator is None:
      raise StopIteration
    try:
      # Copied out of the workers' shared memory, which would otherwise have to outlive the interpreter's shutdown.
      with _deaf_workers() if self._workers else contextlib.nullcontext():
        return {name: np.array(values) for name, values in next(self._iterator).items()}
    except DataError as error:
      self.close()
      # Grain adds the worker's traceback; the message alone says which clip.
      raise DataError(str(error)) from None
    except BaseException as error:
      lost = self._notes.of_the_dead() if self._notes else {}
      self.close()
      if isinstance(error, RuntimeError) and lost:  # Grain looks at its workers once a second
        raise _lost(str(error), list(lost.values())) from None
      raise

  def doing(self) -> list[str]:
    """What each worker is at, for a report of a loader that hangs."""
    return [f'data worker {process}: {text}' for process, text in self._notes.all().items()] if self._notes else []

  def close(self) -> None:
    """Ends the workers; later calls of `next` stop."""
    iterator, self._iterator = self._iterator, None
    if iterator is not None and hasattr(iterator, 'close'):
      iterator.close()
    if self._folder is not None:
      self._folder.cleanup()
      self._folder = self._notes = None

  def __enter__(self) -> 'Loader':
    return self

  def __exit__(self, *_) -> None:
    self.close()


@contextlib.contextmanager
def _deaf_workers() -> Iterator[None]:
  """Processes started in this context never see SIGTERM and SIGINT, which they inherit as blocked.

  Schedulers and terminals send these to the whole process group. They are for the trainer, which finishes its step and
  saves; a worker that dies meanwhile would be an error.
  """
  before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _close(loader: 'weakref.ref[Loader]') -> None:
  if (left := loader()) is not None:
    left.close()


def _lost(message: str, doing: list[str]) -> WorkerLost:
  """The error that says what killed which worker, from Grain's message and the workers' notes."""
  found = re.search(r'exit code (-?\d+)', message)
  code = int(found.group(1)) if found else 0
  how = f'was killed by signal {-code}' if code < 0 else f'ended with exit code {code}'
  hint = ' (out of memory, if nobody else killed it: lower data.workers)' if code == -9 else ''
  return WorkerLost(f'a data worker {how}{hint}, {"; another ".join(doing)}; run the same command again to go on')


def make_loader(
  records_dir: str | os.PathLike,
  *,
  split: str,
  sampler: str,
  image_size: int,
  batch_size: int,
  seed: int,
  start_step: int = 0,
  process_index: int = 0,
  process_count: int = 1,
  workers: int = 2,
  mouth_canvas: int = 0,
  skip_corrupt: bool = False,
  motion: str = '',
  **options,
) -> Loader:
  """Returns the endless batches of one process.

  Args:
    records_dir: the `--out` of `edtalk prepare`.
    split: train, val or test.
    sampler: a name in `sampling.SAMPLERS`, which says what the fields are.
    image_size: side of the images in pixels.
    batch_size: of the global batch; a multiple of `process_count`.
    seed: of the order and of all choices.
    start_step: first global batch.
    process_index, process_count: which slice of each global batch.
    workers: worker processes; 0 decodes in this one. They are spawned, so a script that uses them needs
      `if __name__ == '__main__'`.
    mouth_canvas: see `transforms.swap_mouth`.
    skip_corrupt: whether other draws take the place of those that meet corrupt records; else they are errors.
    motion: folder of motion weights (`motion.folder_of`), for samplers that hold them.
    **options: further fields of `sampling.Options`, for samplers that look at them.

  Raises:
    DataError: here for missing records or an empty split, and from `next` for a corrupt record, naming it.
    WorkerLost: from `next`, a second or two after a worker died, naming the clip it was at.
    ValueError: if a number does not fit.
  """
  if workers < 0:
    raise ValueError(f'workers must be at least 0, got {workers}')
  batches = Batches(
    records_dir,
    split=split,
    sampler=sampler,
    image_size=image_size,
    batch_size=batch_size,
    seed=seed,
    start_step=start_step,
    process_index=process_index,
    process_count=process_count,
    mouth_canvas=mouth_canvas,
    skip_corrupt=skip_corrupt,
    motion=motion,
    **options,
  )
  return Loader(batches, workers)
