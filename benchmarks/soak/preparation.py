"""Kills a preparation again and again, starts it again, and compares the end with one that was never killed.

  python -m benchmarks.soak.preparation mock/MEAD --dataset mead --kills 12 --workers 3

Half of the kills are of the job, half of one of its workers (which costs that worker's video a second try, nothing
else). Then both folders must agree byte for byte: records, index, manifest, splits, thumbnails. Exit code 1 otherwise.
"""

import argparse
import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from benchmarks.soak.life import ROOT, Failed, Life

_IGNORED = ('cache',)  # named by what went in; may hold what a killed worker left


def finished(out: pathlib.Path) -> int:
  """How many videos a preparation has dealt with so far."""
  return sum(1 for _ in out.glob('cache/[!.]*/outcome.json'))


def workers_of(process: int) -> list[int]:
  """Its worker processes, which multiprocessing has spawned."""
  found = subprocess.run(['ps', '-o', 'pid=,args=', '--ppid', str(process)], capture_output=True, text=True).stdout
  return [int(line.split()[0]) for line in found.splitlines() if 'spawn_main' in line]


def differences(one: pathlib.Path, other: pathlib.Path) -> list[str]:
  """Files that are not the same bytes in both folders."""
  contents = [
    {
      str(path.relative_to(root)): path.read_bytes()
      for path in sorted(root.rglob('*'))
      if path.is_file() and path.relative_to(root).parts[0] not in _IGNORED
    }
    for root in (one, other)
  ]
  return [
    name for name in sorted(contents[0].keys() | contents[1].keys()) if contents[0].get(name) != contents[1].get(name)
  ]


def soak(
  command: Sequence[str], out: pathlib.Path, kills: int, total: int, rng: random.Random, pause: float = 2.0
) -> list[str]:
  """Runs a preparation and kills it, or one of its workers, at random moments, until one life reaches the end.

  Args:
    command: the preparation into `out`.
    out: its folder.
    kills: how many.
    total: videos, over which the kills are spread.
    rng: of all choices.
    pause: seconds, at most, from the moment that a kill is due to the kill: in the middle of a video, not as one ends.

  Returns:
    What was killed each time, 'job' or 'worker'.

  Raises:
    Failed: if it ends in an error, hangs, or leaves processes behind.
  """
  moments = sorted(rng.choices(range(total), k=kills))  # videos that are finished when a kill is due
  killed: list[str] = []
  while True:
    with Life(command, dict(os.environ)) as life:
      while len(killed) < kills:
        life.wait_for(lambda line: finished(out) >= moments[len(killed)])
        time.sleep(rng.uniform(0, pause))
        workers = workers_of(life.process_id)
        killed.append(rng.choice(['job', 'worker']) if workers else 'job')
        print(f'kill {len(killed)}: the {killed[-1]}, {finished(out)} of {total} videos finished', flush=True)
        if killed[-1] == 'job':
          life.kill(rng, processes=1)
          break
        with contextlib.suppress(ProcessLookupError):  # it may have ended just now
          os.kill(rng.choice(workers), signal.SIGKILL)
      else:
        life.finish()
        return killed


def main(arguments: Sequence[str] | None = None) -> int:
  """Parses, kills, compares."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('videos')
  parser.add_argument('--dataset', default='folder')
  parser.add_argument('--kills', type=int, default=12)
  parser.add_argument('--workers', type=int, default=3)
  parser.add_argument('--seed', type=int, default=0, help='of all choices')
  parser.add_argument('--out', default='', help='where both are kept; default: a temporary folder')
  options = parser.parse_args(arguments)
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(options.out or temporary).resolve()
    command = [
      sys.executable,
      '-m',
      'edtalk_jax.cli',
      'prepare',
      os.path.abspath(options.videos),
      '--dataset',
      options.dataset,
      '--workers',
      str(options.workers),
    ]
    undisturbed, killed = folder / 'undisturbed', folder / 'killed'
    subprocess.run([*command, '--out', str(undisturbed)], cwd=ROOT, check=True)
    total = finished(undisturbed)
    try:
      soak([*command, '--out', str(killed)], killed, options.kills, total, random.Random(options.seed))
      found = differences(undisturbed, killed)
    except Failed as failure:
      found = [str(failure)]
  print('\n'.join(found) if found else 'byte for byte what the preparation gave that was never killed')
  return 1 if found else 0


if __name__ == '__main__':
  sys.exit(main())
