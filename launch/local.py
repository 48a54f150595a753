"""Several processes on this machine that train as one, to try out what a cluster does.

python -m launch.local --processes 4 --devices-per-process 2 -- train.py --config configs/tiny.py ...

The command after `--` is run once for each process by this Python, with JAX on virtual CPU devices. Process 0 prints as
it does alone; lines of the others begin with their number. SIGTERM and SIGINT are passed on. The exit code is that of
the first process that ended badly, 128 + n if signal n ended it.
"""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

import tyro

from edtalk_jax.config import UserError
from edtalk_jax.terminal import run_main

PATIENCE = 150.0  # seconds that the others have to end by themselves; JAX gives up on them sooner


@dataclasses.dataclass
class Local:
  """Runs a command as several processes on this machine that train as one; the command follows after --.

  Example: python -m launch.local --processes 4 -- train.py --config configs/tiny.py --workdir runs/first --data records
  """

  processes: int = 2
  """How many processes."""
  devices_per_process: int = 1
  """Virtual CPU devices of each."""

  def run(self, command: Sequence[str]) -> int:
    """Runs the command until all processes have ended; returns the exit code."""
    if not command or self.processes < 1 or self.devices_per_process < 1:
      raise UserError('python -m launch.local: give at least one process and device, and a command after --')
    address = f'localhost:{_free_port()}'
    children = [self._start(command, index, address) for index in range(self.processes)]
    # A process group of their own keeps a terminal's Ctrl-C from reaching them twice.
    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, lambda number, frame: _send(children, number))
    _say(f'processes {" ".join(str(child.pid) for child in children)}, coordinator {address}')
    forwarding = [
      threading.Thread(target=_forward, args=(stream, to, f'[{index}] ' if index else ''))
      for index, child in enumerate(children)
      for stream, to in ((child.stdout, sys.stdout), (child.stderr, sys.stderr))
    ]
    for thread in forwarding:
      thread.start()
    code = _wait(children)
    for thread in forwarding:
      thread.join(timeout=10)  # what a killed process started may hold its output open
    return code

  def _start(self, command: Sequence[str], index: int, address: str) -> subprocess.Popen:
    environment = {
      **os.environ,
      'EDTALK_COORDINATOR': address,
      'EDTALK_PROCESSES': str(self.processes),
      'EDTALK_PROCESS': str(index),
      'JAX_PLATFORMS': 'cpu',
      'JAX_NUM_CPU_DEVICES': str(self.devices_per_process),
      'PYTHONUNBUFFERED': '1',
    }
    return subprocess.Popen(
      [sys.executable, *command],
      env=environment,
      process_group=0,
      text=True,
      errors='replace',
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
    )


def _wait(children: Sequence[subprocess.Popen]) -> int:
  """Waits for all; returns the first bad exit code, 0 without one. Kills those that do not end after it."""
  running, bad, deadline = dict(enumerate(children)), 0, None
  while running:
    for index, child in list(running.items()):
      code = child.poll()
      if code is None:
        continue
      del running[index]
      if code and not bad:
        bad, deadline = code if code > 0 else 128 - code, time.monotonic() + PATIENCE
        how = f'code {code}' if code > 0 else signal.Signals(-code).name
        _say(f'process {index} ended with {how}' + ('; waiting for the others' if running else ''))
    if deadline and running and time.monotonic() > deadline:
      _say(f'killing {", ".join(map(str, running))}, still running after {PATIENCE:.0f} s')
      _send(running.values(), signal.SIGKILL)
      deadline = None
    time.sleep(0.05)
  return bad


def _send(children, number: int) -> None:
  for child in children:
    if child.poll() is None:
      child.send_signal(number)


def _forward(stream: IO[str], to: IO[str], prefix: str) -> None:
  for line in stream:
    to.write(prefix + line)
    to.flush()


def _free_port() -> int:
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    return probe.getsockname()[1]


def _say(line: str) -> None:
  print(f'launch.local: {line}', file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> None:
  """Entry point; what follows after -- is not ours to parse."""
  split = list(arguments).index('--') if '--' in arguments else len(arguments)
  local = tyro.cli(Local, prog='python -m launch.local', args=list(arguments[:split]))
  sys.exit(local.run(arguments[split + 1 :]))


if __name__ == '__main__':
  run_main(lambda: main(sys.argv[1:]))
