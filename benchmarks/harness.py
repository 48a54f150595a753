"""What the benchmarks share: the train step to be timed, measuring in turns, and how results are printed."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from edtalk_jax import chips, stages
from edtalk_jax.config import Config
from edtalk_jax.training import feed, flops, programs, sharding

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Seconds:
  """Of every turn: wall time, and processor time summed over all threads of this process."""

  wall: np.ndarray
  processor: np.ndarray


def in_turns(turns: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Seconds]:
  """Times functions that return when their work is done, one after the other, in each round another one first.

  So a machine that slows down slows down all of them. Each runs once before, which is not counted.
  """
  names = list(turns)
  for name in names:
    turns[name]()
  found = {name: Seconds(np.zeros(rounds), np.zeros(rounds)) for name in names}
  for number in range(rounds):
    for name in np.roll(names, -number):
      wall, processor = time.perf_counter(), time.process_time()
      turns[name]()
      found[name].wall[number] = time.perf_counter() - wall
      found[name].processor[number] = time.process_time() - processor
  return found


class TrainStep:
  """The train step of a configuration, compiled, on one batch of noise. Calling it makes `steps` steps and waits.

  Attributes:
    flops: of a step, as `flops.count_jaxpr` has them.
    compile_seconds: tracing not included; little where the compilation cache has the program.
    memory_gib: of one device: what the compiled program needs for state, batch and temporaries.
    pictures: the batch, uint8 by field.
    metrics: of the last step.
  """

  def __init__(self, config: Config, devices: Sequence[jax.Device] | None = None, steps: int = 1):
    stage, mesh = stages.build(config), sharding.make_mesh(config.mesh, devices)
    sharding.check_batch(config.data.batch_size, mesh, jax.process_count())
    parts = programs.build(config, stage, mesh)
    self.pictures = next(feed.noise(config, stage, 0))
    del self.pictures['index']
    self._batch = feed.to_device(self.pictures, sharding.batch_sharding(mesh))
    with jax.set_mesh(mesh):
      self._frozen, self._state = parts.place_frozen(stage.init_frozen()), parts.init(jax.random.key(0))
      traced = parts.train.trace(self._state, self._frozen, self._batch)
      self.flops, start = flops.count_jaxpr(traced.jaxpr), time.perf_counter()
      self._compiled = traced.lower().compile()
    self.compile_seconds = time.perf_counter() - start
    memory = self._compiled.memory_analysis()
    self.memory_gib = (memory.argument_size_in_bytes + memory.temp_size_in_bytes) / GIB
    self.steps, self.metrics = steps, {}

  @property
  def params(self) -> dict[str, Any]:
    """Copies, on the host, of what is trained, and of VGG: the step itself gives its arrays away."""
    return jax.device_get({'model': self._state.model, 'discriminator': self._state.discriminator, 'vgg': self._frozen})

  def __call__(self) -> None:
    """Makes the steps and waits for them."""
    for _ in range(self.steps):
      self._state, self.metrics = self._compiled(self._state, self._frozen, self._batch)
    jax.block_until_ready(self.metrics)


def speed(count: int, seconds: float, dtype: str, devices: int = 1) -> dict[str, float]:
  """TFLOP/s of `count` operations, and their share of the devices' peak where it is known."""
  peak = chips.peak_flops(jax.devices()[0].device_kind, dtype)
  rate = count / seconds
  return {'tflops': rate / 1e12, **({} if peak is None else {'mfu': rate / peak / devices})}


def show(rows: Sequence[Mapping[str, Any]], **facts: Any) -> None:
  """Prints rows as a table and, with what holds for all of them, as a line of JSON."""
  names = list(dict.fromkeys(name for row in rows for name in row))
  table = Table(*names)
  for row in rows:
    table.add_row(*(_text(row.get(name, '')) for name in names))
  Console().print(table)
  device = jax.devices()[0].device_kind
  print(json.dumps({'device': device, 'jax': jax.__version__, **facts, 'rows': rows}))


def _text(value: Any) -> str:
  return f'{value:.4g}' if isinstance(value, float) else str(value)
