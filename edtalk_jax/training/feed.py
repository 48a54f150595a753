"""From the loader's host arrays to device arrays, a few batches ahead of the step that uses them."""

import itertools
import queue
import threading
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Sharding

from data_pipeline import sampling
from edtalk_jax.config import Config
from edtalk_jax.stages.stage import Stage

HostBatch = dict[str, np.ndarray]
HOST_FIELDS = ('index', 'origin', 'corrupt')  # what the examples are; no network reads them


def to_device(batch: HostBatch, sharding: Sharding) -> dict[str, jax.Array]:
  """Joins every process's slice into global arrays."""
  return {
    name: jax.make_array_from_process_local_data(sharding, array)
    for name, array in batch.items()
    if name not in HOST_FIELDS
  }


def shapes(config: Config, stage: Stage) -> dict[str, jax.ShapeDtypeStruct]:
  """The fields of one example of `stage`: uint8[size, size, 3] pictures, and its arrays."""
  size = config.model.image_size
  picture = jax.ShapeDtypeStruct((size, size, 3), np.uint8)
  return {**dict.fromkeys(sampling.get(stage.sampler).fields, picture), **stage.arrays}


def noise(config: Config, stage: Stage, start_step: int) -> Iterator[HostBatch]:
  """One random batch again and again, in place of a loader: what is left of a step's time is not the input's.

  Yields this process's share, uniform integers and standard normal numbers by field, and the positions that a loader
  would give.
  """
  share = config.data.batch_size // jax.process_count()
  draw = np.random.default_rng((config.run.seed, jax.process_index()))
  fields = {name: _random(draw, (share, *field.shape), field.dtype) for name, field in shapes(config, stage).items()}
  for step in itertools.count(start_step):
    begin = step * config.data.batch_size + jax.process_index() * share
    yield {**fields, 'index': np.arange(begin, begin + share)}


def _random(draw: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
  if np.issubdtype(dtype, np.floating):
    return draw.standard_normal(shape).astype(dtype)
  return draw.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


class Prefetch:
  """Iterates over `(host batch, device batch)`, transferring in a thread. Use as a context manager.

  An exception of the loader is raised again where the batch is asked for.
  """

  def __init__(self, batches: Iterator[HostBatch], sharding: Sharding, depth: int = 2):
    self._batches, self._sharding = batches, sharding
    self._queue: queue.Queue[Any] = queue.Queue(maxsize=depth)
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._fill, name='prefetch', daemon=True)

  def __enter__(self) -> 'Prefetch':
    self._thread.start()
    return self

  def __exit__(self, *exception) -> None:
    self._stop.set()
    while self._thread.is_alive():
      try:
        self._queue.get(timeout=0.05)  # makes room for a producer that waits
      except queue.Empty:
        continue
    close = getattr(self._batches, 'close', None)
    if close is not None:
      close()

  def __next__(self) -> tuple[HostBatch, dict[str, jax.Array]]:
    item = self._queue.get()
    if isinstance(item, BaseException):
      raise item
    return item

  def _fill(self) -> None:
    try:
      for batch in self._batches:
        if self._stop.is_set():
          return
        self._queue.put((batch, to_device(batch, self._sharding)))
      raise RuntimeError('the loader ended; it should be endless')
    except BaseException as error:  # whatever it is, the consumer must see it
      self._queue.put(error)
