"""One trainer at a time in a workdir: a second would delete what the first is saving, and mix both runs' lines."""

import contextlib
import fcntl
import os
import pathlib
import platform
from collections.abc import Iterator

import jax

from edtalk_jax.config import UserError

FILE = 'train.lock'


@contextlib.contextmanager
def held(workdir: pathlib.Path) -> Iterator[None]:
  """Keeps other trainers out of `workdir`, which is made if need be and goes again if nothing comes into it.

  The lock is the kernel's and ends with this process, however it ends; the file that stays means nothing. Of several
  processes the first takes it. File systems without locks, as some of networks, keep nobody out.

  Raises:
    UserError: if another trainer is at work there.
  """
  if jax.process_index() != 0:
    yield
    return
  workdir.mkdir(parents=True, exist_ok=True)
  path = workdir / FILE
  with path.open('a+', encoding='utf-8') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      file.seek(0)
      raise UserError(
        f'{workdir}: another trainer is at work here ({file.read().strip()}); wait for its end, '
        'or choose another --workdir'
      ) from None
    except OSError:
      pass  # no locks on this file system
    file.truncate(0)
    file.write(f'process {os.getpid()} on {platform.node()}\n')
    file.flush()
    try:
      yield
    finally:
      with contextlib.suppress(FileNotFoundError):
        if os.listdir(workdir) == [FILE]:
          path.unlink()
          workdir.rmdir()
