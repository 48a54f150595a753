"""Exit codes, by which launchers and users tell what another start would change (docs/training.md)."""

import pytest

from data_pipeline.errors import CorruptRecord, DataError, WorkerLost
from edtalk_jax import terminal
from edtalk_jax.config import RunStopped, UserError

CODES = [
  (ZeroDivisionError('x'), 1),
  (OSError('x'), 1),
  (UserError('x'), 2),
  (DataError('x'), 2),
  (CorruptRecord('x'), 2),
  (FileNotFoundError(2, 'No such file or directory', 'x'), 2),
  (RunStopped('x'), 3),
  (terminal.Unavailable('x'), 69),
  (WorkerLost('x'), 69),
  (terminal.Preempted('x'), 75),
  (terminal.PeerLost('x'), 76),
  (KeyboardInterrupt(), 130),
]


@pytest.mark.parametrize('error, code', CODES, ids=lambda value: type(value).__name__)
def test_each_end_has_its_code_and_one_line(error, code, capsys):
  line, found = terminal.verdict(error)
  assert found == code and '\n' not in line
  assert terminal.report(error) == code
  said = capsys.readouterr().err
  assert said == f'{line}\n' if code != 1 else 'Traceback' in said or type(error).__name__ in said
