"""Several processes that train as one: how they find each other, and how they end together.

A process that is lost leaves the others waiting in a collective for minutes or for ever. So each has a thread, `Watch`,
that shows a sign of life every second in the key-value store of JAX's coordinator, which process 0 hosts. Process 0
looks whose signs stopped, and a process that ends on an error says why. The others then end too, in one line.
"""

import contextlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import jax
import numpy as np
from jax._src import distributed  # holds the coordinator's client, which has no public name
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from edtalk_jax import terminal
from edtalk_jax.config import UserError
from edtalk_jax.terminal import PeerLost

ADDRESS, COUNT, INDEX = 'EDTALK_COORDINATOR', 'EDTALK_PROCESSES', 'EDTALK_PROCESS'
TIMEOUT = 'EDTALK_PEER_TIMEOUT'
PEER_TIMEOUT = 60.0  # seconds without a sign of life; sooner than JAX's own 100, which end in a core dump
SIGN_EVERY = 1.0  # seconds
GRACE = 3.0  # seconds in which a process may end in its own words, after another has ended
ENDED, SIGNS, DONE = 'edtalk/ended', 'edtalk/signs/', 'done'
START_TIMEOUT = 1800.0  # seconds that the first process waits for the last, whose records may have to be copied first
SAVE_TIMEOUT = 1800.0  # seconds that a process waits for the others' parts of a checkpoint
WORK_TIMEOUT = 86_400.0  # seconds that the others wait for work that the first does alone
AGAIN = 'run the same command again to go on'
_meetings = itertools.count()


@contextlib.contextmanager
def joined(detect: bool, environment: Mapping[str, str] = os.environ) -> Iterator[None]:
  """Makes this process one of several, if the environment or `detect` says so; to be entered before any use of JAX.

  An error in the context ends this process here, once its line is printed, and the others with it: in JAX's orderly
  shutdown it would wait for them, who wait for it.

  Args:
    detect: let JAX find the others, as it can on TPU pods and under SLURM, Open MPI and Kubernetes.
    environment: may hold EDTALK_COORDINATOR (host:port of process 0), EDTALK_PROCESSES and EDTALK_PROCESS; then nothing
      is detected. EDTALK_PEER_TIMEOUT are the seconds after which a silent process is lost, 60 by default.

  Raises:
    UserError: if the environment is incomplete, or nothing is detected.
  """
  members, timeout = _members(environment), _number(environment, TIMEOUT, PEER_TIMEOUT)
  if members is None and not detect:
    yield
    return
  try:
    jax.distributed.initialize(**(members or {}))
  except ValueError as error:
    raise UserError(f'--distributed: JAX finds no cluster here ({error}); set {ADDRESS}, {COUNT}, {INDEX}') from None
  with Watch(distributed.global_state.client, timeout) as watch:
    try:
      with collectives():
        yield
    except terminal.Preempted:
      raise  # all of them, at the same step
    except (Exception, KeyboardInterrupt) as error:
      watch.leave(error)


@contextlib.contextmanager
def collectives() -> Iterator[None]:
  """Turns the failure of a collective into PeerLost."""
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if jax.process_count() > 1 and 'Gloo' in str(error):  # the CPU's; those of GPUs and TPUs wait instead
      raise PeerLost(f'another process was lost ({" ".join(str(error).split())[:150]}); {AGAIN}') from error
    raise


def meet(mesh: Mesh) -> None:
  """Waits for all processes and opens the connections of the collectives on `mesh`.

  Gloo, which connects CPUs, gives the first collective of a group of devices 30 seconds; afterwards processes may be
  further apart, as they are when one finds a program in the compilation cache and another compiles it.
  """
  if jax.process_count() == 1:
    return
  # A process may train several times, always as often as the others; a barrier's name is used once.
  barrier(f'meet/{next(_meetings)}', START_TIMEOUT)

  def sums(x):
    return [jax.lax.psum(x, axes) for axes in (*mesh.axis_names, mesh.axis_names)]

  jax.block_until_ready(jax.jit(jax.shard_map(sums, mesh=mesh, in_specs=P(), out_specs=P()))(np.float32(0)))


def barrier(name: str, seconds: float = SAVE_TIMEOUT) -> None:
  """Waits until all processes have come to the barrier of that name. Threads beside the steps may, too.

  Raises:
    PeerLost: if they have not come in time. What has stopped one is said by that one.
  """
  if jax.process_count() == 1:
    return
  try:
    distributed.global_state.client.wait_at_barrier(f'edtalk/{name}', int(1000 * seconds))
  except jax.errors.JaxRuntimeError as error:
    raise PeerLost(f'not all processes came to "{name}" ({" ".join(str(error).split())[:150]}); {AGAIN}') from error


def wait_for_first(what: str) -> None:
  """Returns on all processes when process 0 has come here; it may take its time with work that it does alone."""
  barrier(what, WORK_TIMEOUT)


class Watch:
  """The thread that notices the end of other processes. Use as a context manager around all work of this one."""

  def __init__(self, client: Any, timeout: float):
    """Watches through JAX's `client` of the coordinator; `timeout` seconds without a sign of life are a loss."""
    self._client, self._timeout = client, timeout
    self._index, self._count = jax.process_index(), jax.process_count()
    self._heard = {index: ('', time.monotonic()) for index in range(1, self._count)}  # last sign, since when
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._run, name='cluster', daemon=True)

  def __enter__(self) -> 'Watch':
    self._thread.start()
    return self

  def __exit__(self, *exception) -> None:
    self._stop.set()
    self._thread.join()
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # the coordinator may be gone first
      self._show(DONE)

  def leave(self, error: BaseException) -> NoReturn:
    """Ends this process on `error`, and all others with it."""
    self._stop.set()
    code = terminal.report(error)
    self._end(code, terminal.verdict(error)[0])

  def _run(self) -> None:
    sign = 0
    while not self._stop.is_set():
      sign += 1
      try:
        self._show(str(sign))
        if self._index == 0:
          self._look()
        text = self._client.blocking_key_value_get(ENDED, int(1000 * SIGN_EVERY))
      except jax.errors.JaxRuntimeError as error:
        if 'DEADLINE_EXCEEDED' in str(error):  # nobody has ended
          continue
        text = json.dumps({'code': terminal.PEER_LOST, 'line': f'stopped: process 0 was lost; {AGAIN}'})
      self._told(**json.loads(text))

  def _show(self, sign: str) -> None:
    self._client.key_value_set(f'{SIGNS}{self._index}', sign, allow_overwrite=True)

  def _look(self) -> None:
    """Ends the run if a process has shown no new sign for too long."""
    signs, now = dict(self._client.key_value_dir_get(SIGNS)), time.monotonic()
    for index, (last, since) in self._heard.items():
      sign = signs.get(f'{SIGNS}{index}', '')
      if sign != last:
        self._heard[index] = (sign, now)
      elif now - since > self._timeout and sign != DONE and not self._stop.is_set():
        line = f'stopped: process {index} was lost (no sign of life for {now - since:.0f} s); {AGAIN}'
        _print(line)
        self._end(terminal.PEER_LOST, line)

  def _told(self, code: int, line: str) -> None:
    """Ends this process because another has ended, unless it is about to end by itself."""
    if not self._stop.wait(GRACE):
      _print(line)
      self._exit(code if code in (terminal.MISTAKE, terminal.STOPPED) else terminal.PEER_LOST)

  def _end(self, code: int, line: str) -> NoReturn:
    """Tells the others and ends this process."""
    if self._index:
      line = f'process {self._index}: {line}'
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # another was first, or the coordinator is gone
      self._client.key_value_set(ENDED, json.dumps({'code': code, 'line': line}))
    self._exit(code)

  def _exit(self, code: int) -> NoReturn:
    if self._index == 0:
      time.sleep(GRACE + 2 * SIGN_EVERY)  # the coordinator goes last, or JAX would abort the others
    sys.stdout.flush()
    os._exit(code)


def _members(environment: Mapping[str, str]) -> dict[str, Any] | None:
  """Arguments of jax.distributed.initialize, None for a process on its own. Raises UserError."""
  given = [name for name in (ADDRESS, COUNT, INDEX) if environment.get(name)]
  if not given:
    return None
  if missing := {ADDRESS, COUNT, INDEX} - {*given}:
    raise UserError(f'{", ".join(given)} set, but not {", ".join(sorted(missing))}; several processes need all three')
  count, index = _number(environment, COUNT, 1), _number(environment, INDEX, 0)
  if not 0 <= index < count:
    raise UserError(f'{INDEX}={index}: expected 0 to {count - 1}, as {COUNT}={count}')
  return {
    'coordinator_address': environment[ADDRESS],
    'num_processes': count,
    'process_id': index,
    'cluster_detection_method': 'deactivate',
  }


def _number(environment: Mapping[str, str], name: str, default: Any) -> Any:
  """The variable as a number of the default's type. Raises UserError."""
  text = environment.get(name)
  try:
    return default if text is None else type(default)(text)
  except ValueError:
    raise UserError(f'{name}={text}: expected a number') from None


def _print(line: str) -> None:
  print(line, file=sys.stderr, flush=True)
