"""One trainer at a time in a workdir on object storage, where nothing can be locked.

The trainer keeps writing a new sign into one object. Who comes and finds it watches whether the sign changes: if not,
its writer is dead. No clocks are compared.
"""

import contextlib
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from edtalk_jax.config import UserError
from edtalk_jax.storage import Store
from edtalk_jax.terminal import Unavailable

FILE = 'train.lease'
SIGN_EVERY = 15.0  # seconds
PATIENCE = 60.0  # seconds without a new sign after which its writer is dead
WAITS = (1.0, 2.0, 4.0)  # of its store: far less than others wait for a sign


class Lease:
  """The right to train in `store`. Use as a context manager.

  A killed trainer leaves its lease behind; the next start waits PATIENCE seconds before it takes it over.

  Raises:
    UserError: if another trainer is at work there.
  """

  def __init__(
    self, store: Store, say: Callable[[str], None], *, every: float = SIGN_EVERY, patience: float = PATIENCE
  ):
    self._store, self._say, self._every, self._patience = store, say, every, patience
    self._mine = {'trainer': f'process {os.getpid()} on {platform.node()}', 'token': uuid.uuid4().hex}
    self._lost: str | None = None
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._renew, name='lease', daemon=True)

  def __enter__(self) -> 'Lease':
    self._wait()
    self._write(0)
    time.sleep(min(1.0, self._every))  # of two that came at once, the later one's sign has stayed
    self.check()
    self._thread.start()
    return self

  def __exit__(self, *exception) -> None:
    self._stop.set()
    self._thread.join()
    with contextlib.suppress(UserError, Unavailable):  # a lease that stays is only waited for
      if self._lost is None and self._is_mine(self._read()):
        self._store.delete([FILE])

  def check(self) -> None:
    """Raises UserError if another trainer has taken over: this one was silent for too long."""
    found = self._read()
    if found is not None and not self._is_mine(found):
      self._lost = found.get('trainer', '?')
    if self._lost is not None:
      raise UserError(
        f'{self._store.url}: another trainer is at work here ({self._lost}); wait for its end, or choose '
        'another --workdir'
      )

  def _wait(self) -> None:
    first = self._read()
    if first is None:
      return
    self._say(
      f'{self._store.url}: {first.get("trainer", "?")} was at work here; waiting {self._patience:.0f} s for a '
      'sign of life'
    )
    deadline = time.monotonic() + self._patience
    while time.monotonic() < deadline:
      time.sleep(min(self._every / 3, self._patience))
      found = self._read()
      if found is None:
        return
      if found != first:
        self._lost = found.get('trainer', '?')
        self.check()

  def _renew(self) -> None:
    sign = 0
    while not self._stop.wait(self._every):
      sign += 1
      try:
        self.check()
        self._write(sign)
      except (UserError, Unavailable) as error:  # said at the next save; an answer may come again until then
        if self._lost is not None:
          self._say(str(error))
          return

  def _write(self, sign: int) -> None:
    self._store.write(FILE, json.dumps({**self._mine, 'sign': sign}).encode())

  def _read(self) -> dict[str, Any] | None:
    content = self._store.read(FILE)
    try:
      return None if content is None else dict(json.loads(content))
    except (ValueError, TypeError):
      return {'trainer': 'somebody', 'content': content.decode(errors='replace')}

  def _is_mine(self, found: dict[str, Any] | None) -> bool:
    return found is not None and found.get('token') == self._mine['token']
