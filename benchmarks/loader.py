"""How many training examples one core makes a second, and whether memory stays flat.

python benchmarks/loader.py --data RECORDS
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from data_pipeline import loader, sampling
from data_pipeline.errors import DataError

BATCH = 8


def rate(records: str, sampler: str, size: int, seconds: float, cache_bytes: int, split: str) -> float:
  """Examples per second of processor time (all threads), after one pass over the first batches."""
  batches = loader.Batches(
    records, split=split, sampler=sampler, image_size=size, batch_size=BATCH, seed=0, cache_bytes=cache_bytes
  )
  population = batches.open()
  warm_up = max(1, len(population.usable) // BATCH) if cache_bytes else 2
  for step in range(warm_up):
    batches[step]
  start, step = time.process_time(), warm_up
  while time.process_time() - start < seconds:
    batches[step]
    step += 1
  return (step - warm_up) * BATCH / (time.process_time() - start)


def resident(process: str = 'self') -> float:
  """Resident memory in MiB that no other process shares (Linux)."""
  fields = pathlib.Path(f'/proc/{process}/statm').read_text(encoding='ascii').split()
  return (int(fields[1]) - int(fields[2])) * 4096 / 2**20


def memory(records: str, steps: int, split: str, workers: int = 2) -> None:
  """Prints the memory of this process and its workers along a run."""
  import multiprocessing

  with loader.make_loader(
    records, split=split, sampler='mouth_pose', image_size=64, batch_size=BATCH, seed=0, workers=workers
  ) as batches:
    begin = time.perf_counter()
    for step in range(1, steps + 1):
      next(batches)
      if step % max(1, steps // 6) == 0:
        each = ' '.join(f'{resident(str(child.pid)):.0f}' for child in multiprocessing.active_children())
        speed = step * BATCH / (time.perf_counter() - begin)
        print(f'batch {step:6d}: this process {resident():.0f} MiB, workers {each} MiB, {speed:.0f} examples/s in all')


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--data', required=True, help='folder of records, the --out of edtalk prepare')
  parser.add_argument('--split', default='train')
  parser.add_argument('--seconds', type=float, default=3.0, help='processor time of each measurement')
  parser.add_argument('--memory-steps', type=int, default=0, help='also follow memory over this many batches (Linux)')
  arguments = parser.parse_args()
  try:
    print('examples/s for each core      records cached   read each time')
    for name in sampling.SAMPLERS:
      for size in (64, 256):
        rates = [rate(arguments.data, name, size, arguments.seconds, cache, arguments.split) for cache in (1 << 34, 0)]
        print(f'{name:15s} {size:4d} px   {rates[0]:15.0f} {rates[1]:17.0f}')
    if arguments.memory_steps:
      memory(arguments.data, arguments.memory_steps, arguments.split)
  except DataError as error:
    print(error, file=sys.stderr)
    return 2
  return 0


if __name__ == '__main__':
  sys.exit(main())
