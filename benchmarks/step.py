"""Times the generator's forward pass or the whole mouth-pose step, ours or PyTorch's, on the same kind of input.

  python benchmarks/step.py --side jax --what step
  python benchmarks/step.py --side torch --what step     # in an environment with torch

Prints seconds of wall time and of processor time, the sum over all threads: on a shared machine only the latter
compares. With `--compare SECONDS` (the other side's minimum of wall time) it also prints the ratio.
"""

import argparse
import functools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

IMAGES = ('source_a', 'source_b', 'target_a', 'target_b', 'target_a_mouth_b', 'target_b_mouth_a')


def jax_program(what: str, size: int, batch: int, sizes: str = '') -> Callable[[], None]:
  """Returns a function that runs the compiled program once and waits for it."""
  import jax
  import numpy as np

  from edtalk_jax import config as config_lib
  from edtalk_jax import stages
  from edtalk_jax.config import Config, ModelConfig, RunConfig
  from edtalk_jax.networks.edtalk import EDTalk
  from edtalk_jax.training import programs, sharding

  draw = np.random.default_rng(0)
  if what == 'generator':
    model = EDTalk(ModelConfig(image_size=size))
    source, driver = draw.uniform(-1, 1, (2, batch, size, size, 3)).astype(np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), source, driver)
    forward = jax.jit(model.apply)
    return lambda: jax.block_until_ready(forward(variables, source, driver))

  if sizes:
    config = config_lib.load(sizes, ['run.stage=mouth_pose'])
    size = config.model.image_size
  else:
    config = Config(model=ModelConfig(image_size=size), run=RunConfig(stage='mouth_pose'))
  stage = stages.build(config)
  mesh = sharding.make_mesh(config.mesh)
  run = programs.build(config, stage, mesh)
  examples = {name: draw.integers(0, 256, (batch, size, size, 3), np.uint8) for name in IMAGES}
  state, frozen = run.init(jax.random.key(0)), run.place_frozen(stage.init_frozen())

  def step() -> None:
    nonlocal state
    state, metrics = run.train(state, frozen, examples)
    jax.block_until_ready(metrics)

  return step


def torch_program(what: str, size: int, batch: int) -> Callable[[], None]:
  """The same in PyTorch, see `benchmarks/torch_baseline.py`."""
  import torch

  from benchmarks import torch_baseline

  torch.manual_seed(0)
  images = {name: torch.rand(batch, 3, size, size) * 2 - 1 for name in IMAGES}
  if what == 'generator':
    model = torch_baseline.Model(size).requires_grad_(False)
    return lambda: model(images['source_a'], images['target_a'])
  trainer = torch_baseline.Trainer(size)
  return lambda: trainer.step(images)


def measure(program: Callable[[], None], repeats: int) -> list[tuple[float, float]]:
  """(wall, processor) seconds of each run after a warm-up, which compiles."""
  program()
  times = []
  for _ in range(repeats):
    wall, processor = time.perf_counter(), time.process_time()
    program()
    times.append((time.perf_counter() - wall, time.process_time() - processor))
  return times


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--side', choices=('jax', 'torch'), default='jax')
  parser.add_argument('--what', choices=('generator', 'step'), default='step',
                      help='generator: encode source and driver, decode; step: both updates')
  parser.add_argument('--image-size', type=int, default=256, help='pixels; 128 at least, for the VGG pyramid')
  parser.add_argument('--config', default='', help='file whose sizes the JAX step has, in place of --image-size')
  parser.add_argument('--batch', type=int, default=2, help='examples; an example of a step is six images')
  parser.add_argument('--repeats', type=int, default=3)
  parser.add_argument('--compare', type=float, help="the other side's minimum wall time, seconds")
  parser.add_argument('--json', action='store_true', help='one line of JSON instead of a table')
  args = parser.parse_args()
  build = functools.partial(jax_program, sizes=args.config) if args.side == 'jax' else torch_program
  wall, processor = zip(*measure(build(args.what, args.image_size, args.batch), args.repeats), strict=True)
  row = {
    'side': args.side, 'what': args.what, 'image_size': args.image_size, 'batch': args.batch,
    'minimum': min(wall), 'median': statistics.median(wall), 'processor': min(processor),
  }
  if args.compare:
    row['ratio'] = min(wall) / args.compare
  if args.json:
    print(json.dumps(row))
    return
  from rich.console import Console
  from rich.table import Table
  table = Table(*row)
  table.add_row(*(f'{value:.3f}' if isinstance(value, float) else str(value) for value in row.values()))
  Console().print(table)


if __name__ == '__main__':
  main()
