"""The one kind of error that a user of the data pipeline can cause, and how to tell it from a fault of the machine."""

import errno

_SHORTAGES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE}


class DataError(ValueError):
  """A mistake in what the user gave: a missing folder, a broken file, a corrupt record. One line, no traceback."""


class CorruptRecord(DataError):
  """Stored bytes are not those that were written. What they held is lost, and lost for every reader alike.

  Attributes:
    what: the message without the advice.
  """

  def __init__(self, what: str, advice: str = ''):
    super().__init__(f'{what}; {advice}' if advice else what)
    self.what = what


class WorkerLost(DataError):
  """A worker process ended that should not have."""


class RejectedVideo(DataError):
  """A video that yields no clip. The message is the reason that goes into the manifest.

  Attributes:
    thumbnail: a picture of it, see `thumbnails.of`; '' if none was decoded.
  """

  def __init__(self, reason: str, thumbnail: str = ''):
    super().__init__(reason)
    self.thumbnail = thumbnail


def is_shortage(error: BaseException) -> bool:
  """Whether the machine has run out of something (disk space, open files), which is no fault of the file at hand."""
  return getattr(error, 'errno', None) in _SHORTAGES


def machine_fault(error: BaseException) -> OSError | None:
  """Returns the error that every other file would meet likewise, if one led to `error`; else None.

  That is a shortage, or a disk that cannot be read or written.
  """
  cause: BaseException | None = error
  while cause is not None:
    # FFmpeg also reports damaged files as EIO, so that only the interpreter's own EIO speaks of the disk.
    if isinstance(cause, OSError) and (is_shortage(cause) or (type(cause) is OSError and cause.errno == errno.EIO)):
      return cause
    cause = cause.__cause__ or cause.__context__
  return None
