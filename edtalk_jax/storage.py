"""Object storage: folders named by URLs, such as gs://bucket/run or s3://bucket/records.

There, a name holds a whole object or none: nothing can be renamed, appended to or locked. So nothing is worked on in
place; files are copied to this machine, and copied back whole. Any protocol of fsspec will do; gs:// needs the extra
[gcs], s3:// the extra [s3]. file:// is an ordinary folder.
"""

import concurrent.futures
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from edtalk_jax.config import UserError
from edtalk_jax.terminal import Unavailable

CACHE = 'EDTALK_CACHE'  # environment variable: where copies of what is remote lie
EXTRAS = {'gs': 'gcs', 'gcs': 'gcs', 's3': 's3'}
PARALLEL = 16  # objects that are copied at the same time
# Seconds between attempts, after those of the protocol's own library.
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
SAID = 3  # after so many waits, it is said that there will be more
Result = TypeVar('Result')


def is_remote(path: str) -> bool:
  """Whether `path` is a URL of object storage."""
  return '://' in path and not path.startswith('file://')


def local(path: str) -> str:
  """The path that file:// names; any other as it is."""
  return path.removeprefix('file://')


def cache() -> pathlib.Path:
  """The folder of this machine for copies: EDTALK_CACHE, by default ~/.cache/edtalk. Made if need be."""
  folder = pathlib.Path(os.environ.get(CACHE) or pathlib.Path.home() / '.cache' / 'edtalk')
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f'{folder}: {error.strerror}; set {CACHE} to a folder for copies of what is remote') from None
  return folder


class Store:
  """A folder on object storage. Names are relative to it, with slashes.

  All methods raise, in one line, Unavailable if the store does not answer for minutes, and UserError if it refuses.
  """

  def __init__(self, url: str, waits: Sequence[float] | None = None):
    """Opens nothing but the protocol's library; `waits` instead of WAITS, where nobody can wait as long."""
    import fsspec  # takes a second with its protocols, and few runs need it

    self.url, self._waits = url.rstrip('/'), waits
    protocol = url.split('://')[0]
    try:
      # Without caches: other machines write here, too.
      options = {'use_listings_cache': False, 'skip_instance_cache': True}
      self._fs, self._root = fsspec.core.url_to_fs(self.url, **options)
    except ImportError:
      extra = EXTRAS.get(protocol)
      wanted = f"pip install 'edtalk-jax[{extra}]'" if extra else f'a package that gives fsspec the protocol {protocol}'
      raise UserError(f'{url}: needs {wanted}') from None
    except ValueError as error:
      raise UserError(f'{url}: {error}') from None

  def sizes(self, prefix: str = '') -> dict[str, int]:
    """Names of all objects below `prefix` ('' or one that ends with a slash) -> bytes; {} if there are none."""
    folder = self._path(prefix).rstrip('/')
    found = self._try(prefix, lambda: self._fs.find(folder, detail=True), may_miss=True) or {}
    start = len(self._path(''))
    return {path[start:]: info['size'] for path, info in sorted(found.items())}

  def read(self, name: str) -> bytes | None:
    """Returns the object, None if there is none."""
    return self._try(name, lambda: self._fs.cat_file(self._path(name)), may_miss=True)

  def write(self, name: str, content: bytes) -> None:
    """Writes the object, whole or not at all."""
    self._try(name, lambda: self._fs.pipe_file(self._path(name), content))

  def get(self, files: Mapping[str, pathlib.Path]) -> None:
    """Copies objects to files of this machine; leaves out objects that are not there."""

    def one(name: str) -> None:
      files[name].parent.mkdir(parents=True, exist_ok=True)
      self._try(name, lambda: self._fs.get_file(self._path(name), str(files[name])), may_miss=True)

    parallel(one, files)

  def put(self, files: Mapping[str, pathlib.Path]) -> None:
    """Copies files of this machine to objects; the last bytes of each are there when this returns."""
    parallel(lambda name: self._try(name, lambda: self._fs.put_file(str(files[name]), self._path(name))), files)

  def copy(self, names: Mapping[str, str]) -> None:
    """Copies objects within the store: old name -> new name."""
    parallel(lambda old: self._try(old, lambda: self._fs.cp_file(self._path(old), self._path(names[old]))), names)

  def delete(self, names: Iterable[str]) -> None:
    """Deletes objects; those that are not there are not missed."""
    parallel(lambda name: self._try(name, lambda: self._fs.rm_file(self._path(name)), may_miss=True), names)

  def _path(self, name: str) -> str:
    return f'{self._root.rstrip("/")}/{name}'

  def _try(self, name: str, do: Callable[[], Result], may_miss: bool = False) -> Result | None:
    """Calls `do` until it succeeds; returns None if it finds nothing there and `may_miss`."""
    for count, wait in enumerate((*(WAITS if self._waits is None else self._waits), None)):
      try:
        return do()
      except Exception as error:  # each protocol has its own
        missing = isinstance(error, FileNotFoundError)
        if missing and may_miss:
          return None
        hopeless = missing or _is_refusal(error)
        if hopeless or wait is None:
          kind = UserError if hopeless else Unavailable
          raise kind(f'{self.url}/{name}: {_reason(error)}') from error
        if count == SAID:
          print(f'{self.url}/{name}: {_reason(error)}; asking again for some minutes', file=sys.stderr, flush=True)
        time.sleep(wait)


def parallel(do: Callable[[str], Any], names: Iterable[str]) -> None:
  """Calls `do` with every name, several at the same time; raises what the first of them raises that fails."""
  pool = concurrent.futures.ThreadPoolExecutor(PARALLEL, thread_name_prefix='storage')
  try:
    for done in [pool.submit(do, name) for name in names]:
      done.result()
  finally:
    pool.shutdown(cancel_futures=True)  # thousands that each ask for minutes would be hours


def _is_refusal(error: Exception) -> bool:
  """Whether asking again will not help: gcsfs has no class of its own for that."""
  return (
    isinstance(error, PermissionError)
    or 'Credential' in type(error).__name__
    or getattr(error, 'code', None) in (400, 401, 403)
    or str(error).startswith('Forbidden')
  )


def _reason(error: BaseException) -> str:
  text = ' '.join(str(error).split()) or type(error).__name__
  return text if len(text) <= 200 else text[:197] + '...'
