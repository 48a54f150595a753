"""How commands end: one clear line for a user's mistake (exit code 2), a traceback only for a defect of ours."""

import sys
from collections.abc import Callable

from edtalk_jax.config import RunStopped, UserError

STOPPED = 3  # exit code of a run that stopped itself


def run_main(main: Callable[[], None]) -> None:
  """Runs a command. A `UserError`, one of the data pipeline's `DataError`s or a file's `OSError` becomes one line."""
  from absl import logging

  from data_pipeline.errors import DataError  # beside us, not below: imported where the two meet

  logging.set_verbosity(logging.ERROR)  # Orbax and Grain say much that no user of a command can act on
  try:
    main()
  except (UserError, DataError) as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(2)
  except RunStopped as error:
    print(f'stopped: {error}', file=sys.stderr)
    sys.exit(STOPPED)
  except OSError as error:
    if error.filename is None:
      raise
    print(f'error: {error.filename}: {error.strerror}', file=sys.stderr)
    sys.exit(2)
  except KeyboardInterrupt:
    print('interrupted; run the same command again to go on', file=sys.stderr)
    sys.exit(130)
