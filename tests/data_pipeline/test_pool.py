import concurrent.futures
import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from data_pipeline import pool

ITEMS = ['a1', 'bad', 'c1', 'd1', 'e1', 'f1']


def crash_on_bad(item):
  """Stands for a decoder that crashes."""
  if item == 'bad':
    os._exit(1)


def fail_on_bad(item):
  if item == 'bad':
    raise OSError(28, 'No space left on device')


def test_a_crashing_process_takes_only_its_item_along():
  done = dict(pool.run(crash_on_bad, ITEMS, workers=2))
  assert done == {item: item != 'bad' for item in ITEMS}


def test_a_pool_that_breaks_while_it_is_fed_loses_nothing(monkeypatch):
  original, calls = concurrent.futures.ProcessPoolExecutor.submit, []

  def breaking(self, *args):
    calls.append(args)
    if len(calls) == 2:
      raise BrokenProcessPool
    return original(self, *args)

  monkeypatch.setattr(concurrent.futures.ProcessPoolExecutor, 'submit', breaking)
  assert dict(pool.run(len, ITEMS[:3], workers=2)) == dict.fromkeys(ITEMS[:3], True)


@pytest.mark.parametrize('workers', [0, 1])
def test_an_error_of_the_work_ends_everything(workers):
  with pytest.raises(OSError, match='No space left'):
    list(pool.run(fail_on_bad, ITEMS, workers))
