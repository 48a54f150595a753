"""What each worker process is doing, kept where the trainer can read it when the worker is dead.

A worker that is killed (by the system for its memory, by a fault in a decoder) can tell nobody what it was at.
"""

import os
import pathlib

_ROOM = 512  # bytes of a note; each overwrites the whole one before


class Notes:
  """One small file for each process, in a folder that worker and trainer know."""

  def __init__(self, folder: str | os.PathLike):
    """Opens nothing before the first note, so that an instance can be sent to a process."""
    self.folder = os.fspath(folder)
    self._file, self._text = None, ''

  def begin(self, text: str) -> None:
    """Replaces this process's note."""
    if self._file is None:
      self._file = open(os.path.join(self.folder, str(os.getpid())), 'wb', buffering=0)  # noqa: SIM115
    self._text = text
    self._file.seek(0)
    self._file.write(text.encode().ljust(_ROOM)[:_ROOM])

  def add(self, text: str) -> None:
    """Adds to this process's note."""
    self.begin(f'{self._text} {text}')

  def all(self) -> dict[int, str]:
    """The notes of all processes by their ids."""
    files = sorted(pathlib.Path(self.folder).glob('[0-9]*'))
    return {int(path.name): path.read_text(encoding='utf-8', errors='replace').strip() for path in files}

  def of_the_dead(self) -> dict[int, str]:
    """The notes of processes that no longer exist."""
    return {process: text for process, text in self.all().items() if not _exists(process)}

  def __getstate__(self):
    return {**self.__dict__, '_file': None}


def _exists(process: int) -> bool:
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except PermissionError:
    return True
  return True
