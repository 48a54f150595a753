"""What the guards cost: the step as trained, against the same step without them.

  python -m benchmarks.guards --config configs/tiny.py --stage reconstruction
  python -m benchmarks.guards --image-size 256 --batch 2 --rounds 10

With guards a step selects between the old and the new state and is read on the host a little later (flags, loss spikes,
watchdog); without, it is `gradients` and `apply_gradients` alone, and nothing is read. The two take turns in rounds of
a few steps, the first one changing, so that a machine that slows down slows down both; the overhead is the median over
the pairs of rounds, and its interval holds 95 % of such medians when the pairs are drawn again (bootstrap). Only an
idle machine tells two per cent of wall time apart; on a busy one, processor time, the sum over all threads, compares.
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import jax
import numpy as np

from data_pipeline import sampling
from edtalk_jax import settings as settings_lib
from edtalk_jax import stages
from edtalk_jax.config import Config
from edtalk_jax.training import optimizers, programs, sharding, step
from edtalk_jax.training.events import EventLog
from edtalk_jax.training.metrics import MetricLog
from edtalk_jax.training.reader import Made, StepReader
from edtalk_jax.training.timing import Timing
from edtalk_jax.training.watchdog import Watchdog


@dataclasses.dataclass
class Side:
  """One of the two programs, with a state of its own."""

  train: Callable
  state: object
  frozen: object
  batch: dict[str, jax.Array]
  temporary: int  # bytes that the program needs besides its arguments

  def run(self, steps: int, started: Callable[[int, dict], None]) -> tuple[float, float]:
    """Wall and processor seconds for each of `steps` steps; `started` is told of each."""
    wall, processor = time.perf_counter(), time.process_time()
    for number in range(steps):
      self.state, metrics = self.train(self.state, self.frozen, self.batch)
      started(number, metrics)
    jax.block_until_ready(self.state)
    return (time.perf_counter() - wall) / steps, (time.process_time() - processor) / steps


def sides(config: Config) -> tuple[Side, Side]:
  """The step with guards and without, compiled."""
  stage, mesh = stages.build(config), sharding.make_mesh(config.mesh)
  parts = programs.build(config, stage, mesh)
  optimizer = optimizers.both(config)

  def unguarded(state, frozen, batch):
    found = step.gradients(state.model, state.discriminator, frozen, batch, stage=stage)
    return step.apply_gradients(state, found, stage=stage, **optimizer), found.metrics

  placement = sharding.tree_sharding(parts.shapes, mesh)
  plain = jax.jit(unguarded, donate_argnums=0, out_shardings=(placement, sharding.replicated(mesh)))
  draw, size = np.random.default_rng(0), config.model.image_size
  shape = (config.data.batch_size, size, size, 3)
  batch = {name: draw.integers(0, 256, shape, np.uint8) for name in sampling.get(stage.sampler).fields}
  batch = jax.device_put(batch, sharding.batch_sharding(mesh))
  with jax.set_mesh(mesh):
    frozen = parts.place_frozen(stage.init_frozen())

    def side(train) -> Side:
      state = parts.init(jax.random.key(0))
      compiled = train.lower(state, frozen, batch).compile()
      return Side(compiled, state, frozen, batch, compiled.memory_analysis().temp_size_in_bytes)

    return side(parts.train), side(plain)


def measure(config: Config, rounds: int, steps: int) -> tuple[np.ndarray, tuple[Side, Side]]:
  """Seconds per step, float64[rounds, 2, 2]: with guards or without, wall or processor."""
  guarded, plain = both = sides(config)
  positions = {'index': np.arange(config.data.batch_size)}
  with tempfile.TemporaryDirectory() as folder:
    workdir = pathlib.Path(folder)
    with (
      MetricLog(workdir, 0, enabled=False) as log,
      EventLog(workdir, 0) as events,
      Watchdog(workdir, config.guard.stall_seconds) as watchdog,
      Timing(0, config.data.batch_size, began=time.time(), productive=0.0) as timing,
    ):
      reader = StepReader(config, workdir, log, events, timing, lambda line: None)

      def read(number: int, metrics: dict) -> None:
        watchdog.begins('a batch')
        watchdog.begins('a step')
        timing.dispatched(number, time.monotonic(), metrics)
        reader.read_due()
        reader.add(Made(number, metrics, positions, logged=False))

      turns = (functools.partial(guarded.run, steps, read), functools.partial(plain.run, steps, lambda *step: None))
      for turn in turns:
        turn()
      seconds = np.zeros((rounds, 2, 2))
      for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
          seconds[number, which] = turns[which]()
  return seconds, both


def summary(seconds: np.ndarray, draws: int = 10_000) -> dict[str, float]:
  """Of float64[rounds, 2]: medians in seconds, and the overhead in per cent with its interval."""
  overhead = 100 * (seconds[:, 0] / seconds[:, 1] - 1)
  chosen = np.random.default_rng(0).integers(len(overhead), size=(draws, len(overhead)))
  low, high = np.percentile(np.median(overhead[chosen], axis=1), [2.5, 97.5])
  return {
    'with_guards': float(np.median(seconds[:, 0])),
    'without': float(np.median(seconds[:, 1])),
    'overhead_percent': float(np.median(overhead)),
    'low': float(low),
    'high': float(high),
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--config', help='a file of configs/; default: the full-size model')
  parser.add_argument('--image-size', type=int, default=256, help='pixels, without --config')
  parser.add_argument('--batch', type=int, default=2, help='examples, without --config')
  parser.add_argument('--stage', choices=('reconstruction', 'mouth_pose'), default='mouth_pose')
  parser.add_argument('--rounds', type=int, default=20, help='pairs of rounds')
  parser.add_argument('--steps', type=int, default=10, help='of a round')
  args = parser.parse_args()
  stage = f'run.stage={args.stage}'
  if args.config:
    config = settings_lib.load(args.config, [stage])
  else:
    sizes = [f'model.image_size={args.image_size}', f'data.batch_size={args.batch}']
    config = settings_lib.apply_overrides(Config(), [*sizes, stage])
  seconds, (guarded, plain) = measure(config, args.rounds, args.steps)
  facts = {
    'device': jax.devices()[0].device_kind,
    'image_size': config.model.image_size,
    'batch': config.data.batch_size,
    'rounds': args.rounds,
    'steps': args.steps,
  }
  memory = {'temporary_mib': guarded.temporary / 2**20, 'temporary_mib_without': plain.temporary / 2**20}
  measured = {'wall': summary(seconds[..., 0]), 'processor': summary(seconds[..., 1])}
  print(json.dumps({**facts, **measured, **memory}))


if __name__ == '__main__':
  main()
