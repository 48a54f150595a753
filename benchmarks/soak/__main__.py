"""Kills a run again and again, starts it again, and compares the end with a run that was never killed.

python -m benchmarks.soak --kills 50
python -m benchmarks.soak --minutes 10 --processes 4 --toy

Kills are SIGKILL from outside, aimed at moments that are seen from outside: during start-up, between steps, when a
validation begins, when a folder of a save or of a deletion appears. With several processes one of them, drawn at
random, is killed, and the others have to end by themselves. Then both runs must agree bit for bit: every array of the
last checkpoint, every metric line but its timing, every sample picture. Exit code 1 if they do not.
"""

import argparse
import collections
import pathlib
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence

from absl import logging

from benchmarks.soak.comparison import differences
from benchmarks.soak.killing import SAVE_EVERY, TRAIN, Soak, prepare
from benchmarks.soak.life import Failed

TOY_SCRIPT = 'tests/faults/toy_train.py'
TOY = (TOY_SCRIPT, '--config', TOY_SCRIPT, '--set', f'checkpoint.every={SAVE_EVERY}')


def report(soak: Soak, wall: float, productive: float, steps: int) -> str:
  """The table: kills, steps lost and restart seconds by phase, and goodput."""
  rows = ['| killed while | kills | steps lost, mean | most |', '| --- | --- | --- | --- |']
  by_phase = collections.defaultdict(list)
  for kill in soak.kills:
    by_phase[kill.phase].append(kill.steps_lost)
    by_phase['all'].append(kill.steps_lost)
  for phase, lost in sorted(by_phase.items(), key=lambda item: (item[0] == 'all', item[0])):
    rows.append(f'| {phase} | {len(lost)} | {statistics.mean(lost):.1f} | {max(lost)} |')
  restart = soak.restarts
  return '\n'.join(
    [
      *rows,
      f'{steps} steps in {wall:.0f} s; from start to first step {statistics.median(restart):.1f} s (median), '
      f'{max(restart):.1f} s (most); goodput {100 * productive / wall:.1f} % '
      f'({productive:.0f} s of steps in the run that was never killed)',
    ]
  )


def soak(
  folder: pathlib.Path, kills: int, minutes: float, processes: int, seed: int, command: Sequence[str]
) -> list[str]:
  """Kills, finishes, compares. Returns the differences and prints the table."""
  run = prepare(folder, processes, seed, command)
  run.reference(folder / 'warm-up', SAVE_EVERY)  # compiles once, so that every later start finds the programs
  began = time.monotonic()
  while len(run.kills) < kills if kills else time.monotonic() < began + 60 * minutes:
    run.live()
    print(f'kill {len(run.kills)}: {run.kills[-1].phase}', flush=True)
  steps = run.finish()
  wall = time.monotonic() - began
  productive = run.reference(folder / 'reference', steps)
  print(report(run, wall, productive, steps))
  return differences(folder / 'reference', run.workdir)


def main() -> None:
  """Parses, runs, says whether the two runs agree."""
  parser = argparse.ArgumentParser(description='Kills a run at random and compares its end with a run never killed.')
  parser.add_argument('--kills', type=int, default=0, help='how many kills; or give --minutes')
  parser.add_argument('--minutes', type=float, default=0, help='how long to kill')
  parser.add_argument('--processes', type=int, default=1, help='processes of the run; one of them is killed')
  parser.add_argument('--toy', action='store_true', help="the tests' toy stage, which compiles in seconds")
  parser.add_argument('--seed', type=int, default=0, help='of all choices')
  parser.add_argument('--out', default='', help='where the runs are kept; default: a temporary folder')
  arguments = parser.parse_args()
  logging.set_verbosity(logging.FATAL)  # as `terminal.run_main` does
  signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends a soak ends its trainers
  if not arguments.kills and not arguments.minutes:
    parser.error('give --kills or --minutes')
  with tempfile.TemporaryDirectory() as temporary:
    try:
      found = soak(
        pathlib.Path(arguments.out or temporary).resolve(),
        arguments.kills,
        arguments.minutes,
        arguments.processes,
        arguments.seed,
        TOY if arguments.toy else TRAIN,
      )
    except Failed as failure:
      found = [str(failure)]
  print('\n'.join(found) if found else 'bit-equal to the run that was never killed: arrays, metric lines, samples')
  raise SystemExit(1 if found else 0)


if __name__ == '__main__':
  main()
