"""Where a run's files are: a folder, or object storage behind a folder of this machine."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator

import jax

from edtalk_jax import storage
from edtalk_jax.config import UserError
from edtalk_jax.terminal import Unavailable
from edtalk_jax.training import checkpoint, lock
from edtalk_jax.training.lease import WAITS, Lease
from edtalk_jax.training.remote import RemoteRun
from edtalk_jax.training.shelf import Say


@dataclasses.dataclass(frozen=True)
class Workdir:
  """A workdir in which this process, and no other trainer, works.

  Attributes:
    folder: where it reads and writes.
    remote: what copies the folder to object storage, if that is where the run is.
  """

  folder: pathlib.Path
  remote: RemoteRun | None = None

  def resume_step(self, say: Say) -> int | None:
    """The newest whole checkpoint's step, which then is in the folder, or None. Raises UserError if none is whole."""
    return checkpoint.resume_step(self.folder, say) if self.remote is None else self.remote.resume_step(say)


@contextlib.contextmanager
def opened(workdir: str, say: Say) -> Iterator[Workdir]:
  """Keeps other trainers out of `workdir`, a path or a URL; at the end, whatever it is, all files are in their place.

  Raises:
    UserError: if another trainer is at work there.
  """
  if not storage.is_remote(workdir):
    folder = pathlib.Path(storage.local(workdir))
    with lock.held(folder):
      yield Workdir(folder)
    return
  lease = Lease(storage.Store(workdir, WAITS), say) if jax.process_index() == 0 else contextlib.nullcontext()
  with lease as held, contextlib.closing(RemoteRun(workdir, held)) as remote:
    try:
      yield Workdir(remote.stage, remote)
    except BaseException:  # which decides on the exit code, whatever the store says to this
      with contextlib.suppress(UserError, Unavailable):
        remote.publish()
      raise
    remote.publish()
