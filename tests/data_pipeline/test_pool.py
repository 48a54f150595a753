import concurrent.futures
import os
import pathlib
import signal
import subprocess
import sys
import time
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


def note_and_wait(path):
  path.with_name(str(os.getpid())).touch()
  time.sleep(600)


def test_workers_end_with_a_job_that_is_killed(tmp_path):
  code = (
    'import pathlib, sys; from data_pipeline import pool; from tests.data_pipeline import test_pool; '
    'list(pool.run(test_pool.note_and_wait, [pathlib.Path(sys.argv[1], "x")] * 2, 2))'
  )
  job = subprocess.Popen([sys.executable, '-c', code, str(tmp_path)], cwd=pathlib.Path(__file__).parents[2])
  while len(notes := list(tmp_path.iterdir())) < 2:
    assert job.poll() is None
    time.sleep(0.05)
  job.send_signal(signal.SIGKILL)
  job.wait()
  deadline = time.monotonic() + 60
  while any(alive(int(note.name)) for note in notes):
    assert time.monotonic() < deadline
    time.sleep(0.05)


def alive(process):
  """Whether a process that is no child of ours runs; one that has ended and that nobody has asked after does not."""
  stat = pathlib.Path(f'/proc/{process}/stat')
  try:
    return stat.read_text().rpartition(')')[2].split()[0] != 'Z'
  except FileNotFoundError:
    return False
