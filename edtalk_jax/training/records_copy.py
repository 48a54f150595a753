"""Records on object storage are copied to this machine once, and read from there.

A step reads a few random clips of all parts, which is what disks are good at and object stores are not. Copies are
verified by the digests of the records' index, kept in EDTALK_CACHE, and found again by the next start.
"""

import fcntl
import hashlib
import json
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping

from data_pipeline import digests, index, transcripts
from edtalk_jax import storage
from edtalk_jax.config import UserError

DESCRIPTION = 'dataset_info.json'  # TFDS's, beside the parts
COPIES = 'records'


def here(data: str, say: Callable[[str], None]) -> str:
  """Returns the folder of this machine with the records that `data` names; a path is returned as it is.

  Several processes of a machine copy once: the others wait.

  Raises:
    UserError: if `data` holds no records, they do not fit on the disk, or arrive with other bytes than were written.
  """
  if not storage.is_remote(data):
    return storage.local(data)
  store = storage.Store(data)
  root, sizes = _wanted(store)
  words = sizes.pop(transcripts.FILE, None)  # may be written anew at any time; the records stay
  listed = store.read(f'{root}{index.NAME}') or b''
  # Other records under the same URL have another folder.
  key = hashlib.sha256(json.dumps([data, sizes]).encode() + listed).hexdigest()[:16]
  folder = storage.cache() / COPIES / key
  folder.mkdir(parents=True, exist_ok=True)
  with (folder.parent / f'{key}.lock').open('w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    _copy(store, sizes, folder, _digests(listed), say)
    if words is not None:
      _fetch(store, transcripts.FILE, folder / transcripts.FILE, words, None)
  return str(folder)


def _wanted(store: storage.Store) -> tuple[str, dict[str, int]]:
  """The folder of the one data set below the URL, '' or with a slash at its end, and name -> bytes of its files."""
  sizes = store.sizes()
  roots = sorted(name.removesuffix(DESCRIPTION) for name in sizes if name.split('/')[-1] == DESCRIPTION)
  if len(roots) != 1:
    found = ', '.join(root or '.' for root in roots) or 'none'
    raise UserError(
      f'{store.url}: expected the records of one data set, found {found}; copy the --out of edtalk prepare there'
    )
  root = roots[0]
  wanted = lambda name: name.rpartition('/')[0] == root.rstrip('/') or name == transcripts.FILE  # which lies at the top
  return root, {name: size for name, size in sizes.items() if wanted(name)}


def _digests(listed: bytes) -> dict[str, str]:
  """File name -> SHA-256, from the index; {} without one. A damaged index is named by who reads the copy."""
  try:
    return dict(json.loads(listed)['shards']) if listed else {}
  except (ValueError, KeyError, TypeError):
    return {}


def _copy(
  store: storage.Store,
  sizes: Mapping[str, int],
  folder: pathlib.Path,
  known: Mapping[str, str],
  say: Callable[[str], None],
) -> None:
  """Copies what is not here yet; a file has its name when it is whole, so that a copy that is broken off goes on."""
  files = {name: folder / name.rpartition('/')[2] for name in sizes}
  missing = [name for name, path in files.items() if not path.exists()]
  total = sum(sizes[name] for name in missing)
  if not missing:
    return
  for left in folder.glob('*.part'):
    left.unlink()
  if (free := shutil.disk_usage(folder).free) < total:
    raise UserError(
      f'{store.url}: {total / 1e9:.2f} GB, but {folder} has {free / 1e9:.2f} GB left; set '
      f'{storage.CACHE} to a larger disk'
    )
  say(f'copying {len(missing)} files, {total / 1e9:.2f} GB, from {store.url} to {folder}')
  began = time.monotonic()
  storage.parallel(lambda name: _fetch(store, name, files[name], sizes[name], known.get(files[name].name)), missing)
  seconds = time.monotonic() - began
  say(f'copied in {seconds:.0f} s ({total / 1e6 / max(seconds, 1e-3):.0f} MB/s)')


def _fetch(store: storage.Store, name: str, file: pathlib.Path, size: int, digest: str | None) -> None:
  """Copies one object. Raises UserError if it has another size or digest; None: not known."""
  part = file.with_name(file.name + '.part')
  store.get({name: part})
  if not part.exists() or part.stat().st_size != size:
    raise UserError(f'{store.url}/{name}: changed while it was copied; run the same command again')
  if digest and digests.of_file(part) != digest:
    part.unlink()
    raise UserError(f'{store.url}/{name}: other bytes than {index.NAME} says; copy the records there again')
  part.replace(file)
