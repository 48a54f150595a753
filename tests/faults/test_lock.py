"""Two trainers that are told to use one workdir."""

import errno
import fcntl
import os
import signal

import pytest

from edtalk_jax.config import UserError
from edtalk_jax.training import lock
from tests.faults.processes import Command

HOLDER = """
import pathlib, sys, time
from edtalk_jax.training import lock
with lock.held(pathlib.Path(sys.argv[1])):
  print('held')
  time.sleep(600)
"""


def test_a_second_trainer_is_kept_out_until_the_first_is_killed(tmp_path):
  workdir = tmp_path / 'run'
  with Command(('-c', HOLDER, workdir)) as first:
    first.wait_for('held')
    with pytest.raises(UserError) as caught, lock.held(workdir):
      pass
    assert f'{workdir}: another trainer is at work here (process {first.process.pid} on ' in str(caught.value)
    assert '\n' not in str(caught.value)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
  with lock.held(workdir):
    (workdir / 'config.json').touch()
  assert sorted(path.name for path in workdir.iterdir()) == ['config.json', lock.FILE]


def test_a_run_that_writes_nothing_leaves_no_folder(tmp_path):
  with pytest.raises(UserError, match='a mistake'), lock.held(tmp_path / 'run'):
    raise UserError('a mistake')
  assert not (tmp_path / 'run').exists()


def test_file_systems_without_locks_keep_nobody_out(tmp_path, monkeypatch):
  def refuse(file, operation):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

  monkeypatch.setattr(fcntl, 'flock', refuse)
  with lock.held(tmp_path), lock.held(tmp_path):
    pass
