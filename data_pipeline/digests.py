"""SHA-256 of files and texts, in hexadecimal."""

import hashlib
import os
from collections.abc import Sequence


def of_file(path: str | os.PathLike) -> str:
  """Returns the digest of a file's content."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def of_texts(parts: Sequence[str]) -> str:
  """Returns the digest of several texts without line breaks, in their order."""
  return hashlib.sha256('\n'.join(parts).encode()).hexdigest()
