"""The thread that works ahead: order, errors, bounds, an end when nobody wants more."""

import threading

import pytest

from edtalk_jax.animation.ahead import ahead


def test_items_come_in_order_and_from_another_thread():
  items = list(ahead(((k, threading.current_thread().name) for k in range(50)), depth=3))
  assert [k for k, _ in items] == list(range(50)) and {name for _, name in items} == {'ahead'}


def test_an_error_is_raised_where_the_items_are_used():
  def items():
    yield 1
    raise ValueError('of the source')

  found = ahead(items())
  assert next(found) == 1
  with pytest.raises(ValueError, match='of the source'):
    next(found)


def test_only_so_many_are_made_before_they_are_asked_for():
  made, closed = [], threading.Event()

  def items():
    try:
      for k in range(1000):
        made.append(k)
        yield k
    finally:
      closed.set()

  found = ahead(items(), depth=4)
  assert next(found) == 0
  found.close()
  # One was used, four wait, one was held by the thread when the queue was full.
  assert len(made) <= 6 and closed.is_set()
  assert not any(thread.name == 'ahead' for thread in threading.enumerate())
