"""Work that goes on in a thread while its last results are used: decoding, painting and encoding overlap."""

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar('T')
_ITEM, _END, _ERROR = range(3)
_LOOK_SECONDS = 0.1  # how often a full queue looks whether anybody still wants what is in it


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
  """Yields `items`, which a thread makes: at most `depth` wait to be asked for, so memory stays bounded.

  An error of theirs is raised here. Closing this iterator, or an error at its user's, stops the thread and closes
  `items` where they can be closed.
  """
  results: queue.Queue = queue.Queue(depth)
  unwanted = threading.Event()

  def put(kind, value=None) -> bool:
    while not unwanted.is_set():
      with contextlib.suppress(queue.Full):
        results.put((kind, value), timeout=_LOOK_SECONDS)
        return True
    return False

  def work():
    try:
      for item in items:
        if not put(_ITEM, item):
          break
      put(_END)
    except BaseException as error:
      put(_ERROR, error)
    finally:
      if hasattr(items, 'close'):
        items.close()

  thread = threading.Thread(target=work, name='ahead', daemon=True)
  thread.start()
  try:
    while True:
      kind, value = results.get()
      if kind == _END:
        return
      if kind == _ERROR:
        raise value
      yield value
  finally:
    unwanted.set()
    thread.join()
