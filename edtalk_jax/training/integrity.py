"""What makes a checkpoint whole: a manifest of every file's size and digest, written last and read first.

Orbax's files carry checksums for some of their bytes only, and a file that is missing or cut short can restore as zeros
or as an older array. A checkpoint is therefore restored only if every byte is the one that was saved.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

FILE = 'manifest.json'


class Damaged(Exception):
  """A checkpoint is not what was saved; the text says which file and how, in one line."""


def seal(folder: pathlib.Path, about: Mapping[str, Any]) -> None:
  """Writes the manifest of all files that `folder` holds, and waits until they are on the disk.

  Args:
    folder: of a checkpoint, complete but for its manifest.
    about: JSON values that `about` and `verify` return again.
  """
  text = manifest(about, contents(folder, sync=True))
  with (folder / FILE).open('w', encoding='utf-8') as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  for directory in (path for path in (folder, *folder.rglob('*')) if path.is_dir()):
    sync_folder(directory)


def contents(folder: pathlib.Path, sync: bool = False) -> dict[str, list]:
  """Returns name -> [bytes, SHA-256] of all files in `folder`; with `sync`, once they are on the disk."""
  files = {}
  for path in sorted(path for path in folder.rglob('*') if path.is_file()):
    with path.open('rb') as file:
      files[path.relative_to(folder).as_posix()] = [os.fstat(file.fileno()).st_size, _digest(file)]
      if sync:
        os.fsync(file.fileno())
  return files


def manifest(about: Mapping[str, Any], files: Mapping[str, list]) -> str:
  """Returns the text of a manifest: what `about` says, the files of `contents`, and a digest of both."""
  content = {'about': dict(about), 'files': dict(files)}
  return json.dumps({'sha256': _content_digest(content), **content})


def about(folder: pathlib.Path) -> dict[str, Any]:
  """Returns what `seal` was told about the checkpoint. Raises Damaged if the manifest is not as written."""
  return _read(folder)['about']


def fingerprint(folder: pathlib.Path) -> str:
  """Returns the digest of the manifest, and so of every byte that it names. Raises Damaged like `about`."""
  return _content_digest(_read(folder))


def verify(folder: pathlib.Path, parts: Iterable[str] | None = None) -> dict[str, Any]:
  """Reads every file once and compares it with the manifest.

  Files that the manifest does not name are ignored, since nothing reads them.

  Args:
    folder: of a checkpoint.
    parts: the sub-folders that are wanted, beside the files of the folder itself; all by default.

  Returns:
    What `seal` was told.

  Raises:
    Damaged: naming the first file that differs.
  """
  content = _read(folder)
  wanted = None if parts is None else {*parts}
  for name, (size, digest) in content['files'].items():
    head, _, rest = name.partition('/')
    if wanted is None or not rest or head in wanted:
      verify_file(folder / name, name, size, digest)
  return content['about']


def sync_folder(folder: pathlib.Path) -> None:
  """Waits until the names in `folder` are on the disk."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def verify_file(path: pathlib.Path, name: str, size: int, digest: str) -> None:
  """Compares one file with its entry in the manifest. Raises Damaged, calling it `name`."""
  try:
    with path.open('rb') as file:
      found = os.fstat(file.fileno()).st_size
      if found != size:
        raise Damaged(f'{name} has {found} bytes instead of {size}')
      if _digest(file) != digest:
        raise Damaged(f'{name} holds other bytes than were saved')
  except FileNotFoundError:
    raise Damaged(f'{name} is missing') from None
  except OSError as error:
    raise Damaged(f'{name} cannot be read ({error.strerror})') from None


def _read(folder: pathlib.Path) -> dict[str, Any]:
  try:
    text = (folder / FILE).read_bytes()
  except FileNotFoundError:
    text = None
  except OSError as error:
    raise Damaged(f'{FILE} cannot be read ({error.strerror})') from None
  return parse(text)


def parse(text: bytes | None) -> dict[str, Any]:
  """Returns 'about' and 'files' of a manifest, None if it is missing. Raises Damaged if it is not as written."""
  if text is None:
    raise Damaged(f'{FILE} is missing')
  try:
    content = json.loads(text)
    digest = content.pop('sha256')
    if digest != _content_digest(content):
      raise Damaged(f'{FILE} holds other bytes than were saved')
  except (ValueError, KeyError, AttributeError, RecursionError):  # UnicodeDecodeError and JSONDecodeError included
    raise Damaged(f'{FILE} is not a manifest') from None
  return content


def _digest(file) -> str:
  return hashlib.file_digest(file, 'sha256').hexdigest()


def _content_digest(content: Mapping[str, Any]) -> str:
  return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
