"""What can happen to the bytes of a file."""

import pathlib
import random
import shutil
from collections.abc import Callable

Damage = Callable[[pathlib.Path, random.Random], None]


def _flip(path: pathlib.Path, rng: random.Random, count: int = 1) -> None:
  content = bytearray(path.read_bytes() or b'\0')
  for _ in range(count):
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
  path.write_bytes(content)


def _overwrite(path: pathlib.Path, rng: random.Random) -> None:
  """As a lost block of a disk."""
  content = path.read_bytes()
  length = rng.randrange(1, 512)
  place = rng.randrange(max(1, len(content) - length))
  path.write_bytes((content[:place] + rng.randbytes(length) + content[place + length :])[: len(content)])


def _cut(path: pathlib.Path, rng: random.Random) -> None:
  content = path.read_bytes()
  path.write_bytes(content[: rng.randrange(len(content))] if content else b'')


def _another(path: pathlib.Path, rng: random.Random) -> None:
  """Puts a file of the same name beside its folder in its place, or any other from there."""
  others = [p for p in sorted(path.parents[1].rglob('*')) if p.is_file() and p != path]
  same = [p for p in others if p.name == path.name]
  shutil.copyfile(rng.choice(same or others), path)


def _folder_instead(path: pathlib.Path, rng: random.Random) -> None:
  path.unlink()
  path.mkdir()


OF_BYTES: dict[str, Damage] = {  # somewhere in the file, whose length stays
  'flip a bit': _flip,
  'flip 3 bits': lambda path, rng: _flip(path, rng, 3),
  'overwrite a block': _overwrite,
}
OF_FILES: dict[str, Damage] = {
  **OF_BYTES,
  'flip 20 bits': lambda path, rng: _flip(path, rng, 20),
  'zeros': lambda path, rng: path.write_bytes(bytes(path.stat().st_size)),
  'random bytes': lambda path, rng: path.write_bytes(rng.randbytes(max(1, path.stat().st_size))),
  'cut short': _cut,
  'empty file': lambda path, rng: path.write_bytes(b''),
  'remove file': lambda path, rng: path.unlink(),
  'longer': lambda path, rng: path.write_bytes(path.read_bytes() + rng.randbytes(7)),
  'another file instead': _another,
  'folder instead of file': _folder_instead,
}
