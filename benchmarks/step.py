"""Examples per second of the train step: both updates, by stage, size, batch and number format.

  python -m benchmarks.step --batch 2
  python -m benchmarks.step --stage reconstruction mouth_pose --dtype float32 bfloat16 --batch 8 16 32 --steps 10
  python -m benchmarks.step --config configs/tiny.py

Every combination is compiled and timed by itself on all devices, on noise that is on the device already. Seconds are
medians for a step. Processor time sums over all threads: on a shared machine only that compares. FLOPs are counted from
shapes (edtalk_jax/training/flops.py); MFU is given where the chip's peak is known (edtalk_jax/chips.py).
"""

import itertools
from typing import Literal

import jax
import numpy as np
import tyro

from benchmarks import harness
from edtalk_jax import settings as settings_lib
from edtalk_jax import terminal
from edtalk_jax.config import Config


def main(
  config: str = '',
  stage: tuple[Literal['reconstruction', 'mouth_pose'], ...] = ('mouth_pose',),
  image_size: tuple[int, ...] = (),
  batch: tuple[int, ...] = (),
  dtype: tuple[Literal['float32', 'bfloat16'], ...] = ('float32',),
  settings: tuple[str, ...] = (),
  steps: int = 1,
  repeats: int = 3,
) -> None:
  """Times the train step.

  Args:
    config: File of configs/; without it, the full-size model.
    stage: Training stages.
    image_size: Pixels; the config's by default.
    batch: Examples; the config's by default.
    dtype: Of convolutions and activations.
    settings: Further fields of the config, e.g. mesh.fsdp=2.
    steps: Of a repeat; more than one keep an accelerator busy while the host starts the next.
    repeats: How often.
  """
  base = settings_lib.load(config, settings) if config else settings_lib.apply_overrides(Config(), settings)
  sizes, batches = image_size or (base.model.image_size,), batch or (base.data.batch_size,)
  rows = []
  for chosen in itertools.product(stage, sizes, batches, dtype):
    names = ('run.stage', 'model.image_size', 'data.batch_size', 'model.dtype')
    fields = [f'{name}={value}' for name, value in zip(names, chosen, strict=True)]
    rows.append(measure(settings_lib.apply_overrides(base, fields), steps, repeats))
  harness.show(rows, config=config, devices=jax.device_count(), steps=steps, repeats=repeats)


def measure(config: Config, steps: int, repeats: int) -> dict:
  """One row: what was chosen, and how fast it is."""
  program = harness.TrainStep(config, steps=steps)
  seconds = harness.in_turns({'step': program}, repeats)['step']
  step, batch = float(np.median(seconds.wall)) / steps, config.data.batch_size
  peaks = [(device.memory_stats() or {}).get('peak_bytes_in_use') for device in jax.local_devices()]
  return {
    'stage': config.run.stage,
    'size': config.model.image_size,
    'batch': batch,
    'dtype': config.model.dtype,
    'seconds': step,
    'processor': float(np.median(seconds.processor)) / steps,
    'examples/s': batch / step,
    'gflop/example': program.flops / batch / 1e9,
    **harness.speed(program.flops, step, config.model.dtype, jax.device_count()),
    'memory_gib': program.memory_gib,
    **({'peak_gib': max(peaks) / harness.GIB} if None not in peaks else {}),  # of all rows so far
    'compile_s': program.compile_seconds,
  }


if __name__ == '__main__':
  terminal.run_main(lambda: tyro.cli(main, prog='python -m benchmarks.step', description=__doc__))
