"""Damages runs and records at random and reads them again: nothing may be silently wrong, nothing end in a traceback.

python -m benchmarks.fuzz --count 200 --seed 0
python -m benchmarks.fuzz --what records --count 200
"""

import argparse
import pathlib
import shutil
import tempfile
from collections.abc import Callable

from absl import logging

from benchmarks.fuzz import checkpoints, records
from benchmarks.fuzz.trial import Trial, table

# What is damaged: how it is made, and tried.
SUBJECTS = {
  'checkpoints': (checkpoints.make_run, checkpoints.trial, checkpoints.OUTCOMES),
  'records': (records.make, records.trial, records.OUTCOMES),
}


def fuzz(
  make: Callable[[pathlib.Path], None], trial: Callable[[pathlib.Path, pathlib.Path, int], Trial], seeds: range
) -> list[Trial]:
  """Makes the subject once and runs a trial on a copy of it for each seed."""
  with tempfile.TemporaryDirectory() as name:
    pristine = pathlib.Path(name) / 'pristine'
    make(pristine)
    trials = []
    for seed in seeds:
      folder = pathlib.Path(name) / str(seed)
      trials.append(trial(pristine, folder, seed))
      shutil.rmtree(folder)
  return trials


def main() -> None:
  """Prints a table for each subject, and the detail of every trial that went wrong; exit code 1 if there is one."""
  parser = argparse.ArgumentParser(description='Damages checkpoints and records at random and reads them again.')
  parser.add_argument('--what', choices=('all', *SUBJECTS), default='all')
  parser.add_argument('--count', type=int, default=200, help='trials of each')
  parser.add_argument('--seed', type=int, default=0, help='of the first; the others count on')
  arguments = parser.parse_args()
  logging.set_verbosity(logging.FATAL)  # as `terminal.run_main` does
  seeds, bad = range(arguments.seed, arguments.seed + arguments.count), []
  for name, (make, trial, outcomes) in SUBJECTS.items():
    if arguments.what in ('all', name):
      trials = fuzz(make, trial, seeds)
      print(f'{name}, {sum(len(found.outcomes) for found in trials)} readings\n{table(trials, outcomes)}')
      bad += [(f'{name}, seed {seed}', found) for seed, found in zip(seeds, trials, strict=True) if found.details]
  for where, found in bad:
    print(f'{where}: {"; ".join(found.damage)}: {"; ".join(found.details)}')
  raise SystemExit(1 if bad else 0)


if __name__ == '__main__':
  main()
