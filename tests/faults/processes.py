"""Real processes for tests: started, watched line by line, signalled."""

import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

ROOT = pathlib.Path(__file__).parents[2]
PATIENCE = 240.0  # seconds; only a hang takes so long


class Command:
  """A Python command in a process group of its own. Use as a context manager, which leaves nothing running.

  Attributes:
    lines: of its output so far.
  """

  def __init__(self, words: Sequence[object], **environment: str):
    self.lines: list[str] = []
    self._queue: queue.Queue[str | None] = queue.Queue()
    # One device, unless a launcher says otherwise, in place of conftest's eight; compiled as quickly as here.
    flags = re.sub(r'--xla_force_host_platform_device_count=\d+', '', os.environ.get('XLA_FLAGS', ''))
    inherited = {**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONUNBUFFERED': '1', 'XLA_FLAGS': flags}
    given: Mapping[str, str] = {'JAX_PLATFORMS': 'cpu', **environment}
    self.process = subprocess.Popen(
      [sys.executable, *map(str, words)],
      cwd=ROOT,
      env={**inherited, **given},
      text=True,
      errors='replace',
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      process_group=0,
    )
    self._thread = threading.Thread(target=self._read, daemon=True)
    self._thread.start()

  def __enter__(self) -> 'Command':
    return self

  def __exit__(self, *exception) -> None:
    if self.process.poll() is None:
      self.signal_group(signal.SIGTERM)  # a launcher ends its processes
      try:
        self.process.wait(30)
      except subprocess.TimeoutExpired:
        self.signal_group(signal.SIGKILL)
        self.process.wait()
    self._thread.join(30)

  def wait_for(self, text: str) -> str:
    """The next line that holds `text`."""
    deadline = time.monotonic() + PATIENCE
    while (line := self._queue.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
      if text in line:
        return line
    raise AssertionError(f'ended without saying {text!r}:\n' + '\n'.join(self.lines))

  def end(self) -> int:
    """Waits for the end, and for all that was said; returns the exit code."""
    code = self.process.wait(PATIENCE)
    self._thread.join(30)
    return code

  def signal_group(self, number: int) -> None:
    """As schedulers do: to the process and to all that it started."""
    os.killpg(self.process.pid, number)

  def text(self) -> str:
    """All output, for messages of failed assertions."""
    return '\n'.join(self.lines)

  def _read(self) -> None:
    with self.process.stdout as stream:
      for line in stream:
        self.lines.append(line.rstrip('\n'))
        self._queue.put(line)
    self._queue.put(None)
