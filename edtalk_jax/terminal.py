"""How commands end: one clear line and a documented exit code; a traceback only for a defect of ours."""

import functools
import inspect
import sys
import traceback
from collections.abc import Callable
from typing import Any

from edtalk_jax.config import RunStopped, UserError

# Exit codes, listed in docs/training.md. Of sysexits.h are 69, EX_UNAVAILABLE, and 75, EX_TEMPFAIL.
DEFECT, MISTAKE, STOPPED, UNAVAILABLE, PREEMPTED, PEER_LOST, INTERRUPTED = 1, 2, 3, 69, 75, 76, 130


class Unavailable(RunStopped):
  """Something that a run needs, such as a store, does not work just now; another start may find it working."""


class Preempted(RunStopped):
  """A run was asked to stop, by SIGTERM or SIGINT, and is saved."""


class PeerLost(RunStopped):
  """Another process of this run ended or does not answer."""


def run_main(main: Callable[[], None]) -> None:
  """Runs a command; an error that users can understand becomes one line."""
  from absl import logging

  # Orbax and Grain say much that no user of a command can act on, and log with a traceback what they raise as well.
  logging.set_verbosity(logging.FATAL)
  sys.unraisablehook = functools.partial(without_abandoned_work, sys.unraisablehook)
  try:
    main()
  except (Exception, KeyboardInterrupt) as error:
    sys.exit(report(error))


def without_abandoned_work(show: Callable[[Any], None], unraisable: Any) -> None:
  """A `sys.unraisablehook` that hides one thing from `show`: reads and writes of TensorStore that nobody waits for.

  When one array of a checkpoint fails, as on a full disk or in a damaged file, Orbax closes the event loop in which it
  waited for all of them. Each write that ends later, and each read that is thrown away unfinished, would print a
  traceback around the line that says why.
  """
  error = unraisable.exc_value
  write = type(error) is RuntimeError and str(error) == 'Event loop is closed' and unraisable.object is None
  read = isinstance(error.__cause__, GeneratorExit) and inspect.iscoroutine(unraisable.object)
  if not (write or read):
    show(unraisable)


def report(error: BaseException) -> int:
  """Prints why a command ends, to stderr, and returns its exit code."""
  line, code = verdict(error)
  if code == DEFECT:
    traceback.print_exception(error)
  else:
    print(line, file=sys.stderr, flush=True)
  return code


def verdict(error: BaseException) -> tuple[str, int]:
  """The line that says what happened, and the exit code."""
  from data_pipeline.errors import DataError, WorkerLost  # beside us, not below: imported where the two meet

  match error:
    case WorkerLost() | Unavailable():
      return f'stopped: {error}', UNAVAILABLE
    case UserError() | DataError():
      return f'error: {error}', MISTAKE
    case Preempted():
      return f'stopped: {error}', PREEMPTED
    case PeerLost():
      return f'stopped: {error}', PEER_LOST
    case RunStopped():
      return f'stopped: {error}', STOPPED
    case OSError() if error.filename is not None:
      return f'error: {error.filename}: {error.strerror}', MISTAKE
    case KeyboardInterrupt():
      return 'interrupted; run the same command again to go on', INTERRUPTED
  return f'defect: {type(error).__name__}: {error}', DEFECT
