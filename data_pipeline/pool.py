"""Work spread over processes, of which any may die at any moment: a broken video can crash a native decoder."""

import collections
import concurrent.futures
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

T = TypeVar('T')


def run(work: Callable[[T], None], items: Sequence[T], workers: int) -> Iterator[tuple[T, bool]]:
  """Yields (item, whether its process lived) in the order in which they are dealt with.

  A process that dies takes only its own item along. What `work` raises ends everything.

  Args:
    work: picklable.
    items: arguments of `work`.
    workers: processes; 0 works in this one.
  """
  if not workers:
    for item in items:
      work(item)
      yield item, True
    return
  remaining = collections.deque(items)
  while remaining:
    suspects = []
    for item, lived in _pooled(work, remaining, workers):
      if lived:
        yield item, True
      else:
        suspects.append(item)
    # A dying process takes the whole pool along. Alone, each item shows whether it was the one.
    for item in suspects:
      yield from _pooled(work, collections.deque([item]), 1)


def _pooled(work: Callable[[T], None], remaining: collections.deque[T], workers: int) -> Iterator[tuple[T, bool]]:
  """Takes items from `remaining` and yields (item, whether its process lived), until all are done or one died."""
  # spawn: forking a process that holds threads (the progress bar, or JAX in a notebook) may deadlock.
  context = multiprocessing.get_context('spawn')
  pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent)
  waiting: dict[concurrent.futures.Future, T] = {}
  broken = False
  try:
    while waiting or (remaining and not broken):
      # Few at a time, so that few are under suspicion when a process dies.
      while remaining and not broken and len(waiting) < 2 * workers:
        item = remaining.popleft()
        try:
          waiting[pool.submit(work, item)] = item
        except BrokenProcessPool:  # one died since the last look
          broken = True
          yield item, False
      done, _ = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
      for future in done:
        error = future.exception()
        if error is not None and not isinstance(error, BrokenProcessPool):
          raise error
        broken = broken or error is not None
        yield waiting.pop(future), error is None
  finally:
    pool.shutdown(wait=True, cancel_futures=True)


def end_with_parent(clean_up: Callable[[], None] = lambda: None) -> None:
  """Ends this worker when its parent is killed, whom it would wait for forever, holding its memory.

  Args:
    clean_up: what the parent, had it lived, would have done.
  """
  parent = multiprocessing.parent_process()

  def wait():
    parent.join()
    clean_up()
    os._exit(1)

  if parent is not None:
    threading.Thread(target=wait, name='parent', daemon=True).start()
