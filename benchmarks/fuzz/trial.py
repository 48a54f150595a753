"""What became of something damaged, and the table of many such trials."""

import collections
import dataclasses
from collections.abc import Callable, Sequence

from data_pipeline.errors import DataError
from edtalk_jax.config import UserError

REFUSED, WRONG, TRACEBACK = 'refused in one line', 'WRONG', 'TRACEBACK'


@dataclasses.dataclass(frozen=True)
class Trial:
  """One damaged copy: an outcome for each way to read it, with the detail of bad ones."""

  damage: tuple[str, ...]
  outcomes: dict[str, str]
  details: tuple[str, ...]


class Wrong(Exception):
  """What was read is not what was saved, and nobody said so; the text says in what."""


def judge(damage: Sequence[str], ways: dict[str, Callable[[], str]]) -> Trial:
  """Calls each way to read the damaged thing; it returns its outcome, or raises Wrong or what the user would see."""
  outcomes, details = {}, []
  for name, way in ways.items():
    outcomes[name], detail = _outcome(way)
    if detail:
      details.append(f'{name}: {detail}')
  return Trial(tuple(damage), outcomes, tuple(details))


def _outcome(way: Callable[[], str]) -> tuple[str, str]:
  try:
    return way(), ''
  except Wrong as finding:
    return WRONG, str(finding)
  except (UserError, DataError) as error:
    return (REFUSED, '') if '\n' not in str(error) else (TRACEBACK, f'more than one line: {error}')
  except OSError as error:
    # `terminal.run_main` makes one line of these.
    return (REFUSED, '') if error.filename else (TRACEBACK, repr(error))
  except Exception as error:  # the finding that this program is for
    return TRACEBACK, f'{type(error).__name__}: {error}'


def table(trials: Sequence[Trial], columns: Sequence[str]) -> str:
  """Counts outcomes by what was damaged first."""
  counts = collections.defaultdict(collections.Counter)
  for found in trials:
    for outcome in found.outcomes.values():
      counts[found.damage[0].partition(':')[0]][outcome] += 1
      counts['all'][outcome] += 1
  rows = [f'| {"first damage":27} | ' + ' | '.join(columns) + ' |', '| --- ' * (len(columns) + 1) + '|']
  for kind in [*sorted(counts.keys() - {'all'}), 'all']:
    rows.append(f'| {kind:27} | ' + ' | '.join(f'{counts[kind][name]:{len(name)}}' for name in columns) + ' |')
  return '\n'.join(rows)
