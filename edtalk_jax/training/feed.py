"""From the loader's host arrays to device arrays, a few batches ahead of the step that uses them."""

import queue
import threading
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Sharding

HostBatch = dict[str, np.ndarray]
HOST_FIELDS = ('index', 'origin', 'corrupt')  # what the examples are; no network reads them


def to_device(batch: HostBatch, sharding: Sharding) -> dict[str, jax.Array]:
  """Joins every process's slice into global arrays."""
  return {
    name: jax.make_array_from_process_local_data(sharding, array)
    for name, array in batch.items()
    if name not in HOST_FIELDS
  }


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
