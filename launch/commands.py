"""Runs the project's own commands one after the other, as a reader could by hand."""

import os
import shlex
import subprocess
import sys
import time

from edtalk_jax.config import UserError

# XLA's CPU backend asks for its buffers anew at every step. glibc returns large ones to the kernel each time, and a
# small model's step spends a third of its time on getting them back (docs/performance.md). One heap keeps them.
KEEP_MEMORY = {'MALLOC_MMAP_MAX_': '0', 'MALLOC_TRIM_THRESHOLD_': str(1 << 34), 'MALLOC_ARENA_MAX': '1'}


class Commands:
  """Prints and runs commands.

  Attributes:
    seconds: how long each took, by name.
  """

  def __init__(self):
    self.seconds: dict[str, float] = {}

  def run(self, name: str, *words) -> None:
    """Runs `edtalk ...` or `python ...` with this interpreter.

    Raises:
      UserError: if it ends with another code than 0; it has said why.
    """
    words = [str(word) for word in words]
    print(f'\n$ {shlex.join(words)}', flush=True)
    program = {'edtalk': [sys.executable, '-m', 'edtalk_jax.cli'], 'python': [sys.executable]}[words[0]]
    started = time.monotonic()
    done = subprocess.run([*program, *words[1:]], env={**KEEP_MEMORY, **os.environ})
    if done.returncode:
      raise UserError(f'{name} ended with code {done.returncode}')
    self.seconds[name] = time.monotonic() - started
