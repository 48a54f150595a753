"""The one training loop: steps, and what happens between them."""

import math
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from edtalk_jax.config import Config, UserError
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import samples, sharding
from edtalk_jax.training.checkpoint import Checkpoints
from edtalk_jax.training.feed import HostBatch, Prefetch, to_device
from edtalk_jax.training.metrics import MetricLog, Rate, progress_line
from edtalk_jax.training.programs import Programs
from edtalk_jax.training.state import TrainState

SAMPLE_ROWS = 4  # examples in a sample grid


class Loop:
  """Runs the steps of one training run and writes its files.

  Metrics are read one step late, so that the host prepares the next step while the device still works on this one.
  """

  def __init__(
    self,
    config: Config,
    stage: Stage,
    programs: Programs,
    frozen: Any,
    held_out: list[HostBatch],
    *,
    mesh: Mesh,
    workdir: pathlib.Path,
    checkpoints: Checkpoints,
    say: Callable[[str], None],
  ):
    """Binds what stays the same from step to step; `held_out` are batches of the validation split."""
    self._config, self._stage, self._programs, self._frozen, self._held_out = config, stage, programs, frozen, held_out
    self._sharding = sharding.batch_sharding(mesh)
    self._workdir, self._checkpoints, self._say = workdir, checkpoints, say

  def run(self, state: TrainState, batches: Iterator[HostBatch]) -> TrainState:
    """Trains from `state.step` to `config.run.steps` on `batches`, whose first is that of the next step."""
    config, first, last = self._config, int(state.step), self._config.run.steps
    rate = Rate(config.data.batch_size, first)
    unread = None
    with MetricLog(self._workdir, first, enabled=jax.process_index() == 0, say=self._say) as log, Prefetch(
      batches, self._sharding
    ) as ahead:
      started = time.monotonic()
      for number in range(first + 1, last + 1):
        host_batch, batch = next(ahead)
        state, metrics = self._programs.train(state, self._frozen, batch)
        if unread:
          self._report(*unread, rate, log)
          unread = None
        if number == first + 1:
          jax.block_until_ready(metrics)
          self._say(f'first step done after {time.monotonic() - started:.0f} s (most of it compilation)')
          rate.read(number)
        save = number % config.checkpoint.every == 0 or number == last
        show = config.log.samples_every and (number % config.log.samples_every == 0 or number == last)
        if save or show:
          # The device has to be waited for anyway, and a state that is not finite must not be saved.
          self._report(number, metrics, _first_example(host_batch), rate, log)
        elif number % config.log.every == 0:
          unread = (number, metrics, _first_example(host_batch))
        if show:
          self._write_samples(number, state, self._held_out[0] if self._held_out else host_batch)
        if save:
          loss = self._validate(number, state, log)
          log.sync()
          self._checkpoints.save(state, loss)
    return state

  def _report(self, number: int, metrics: dict[str, jax.Array], example: int, rate: Rate, log: MetricLog) -> None:
    """Reads and writes the metrics of step `number`; stops the run if one is not finite."""
    values = {name: float(value) for name, value in jax.device_get(metrics).items()}
    per_second = rate.read(number)
    log.write(number, {'examples_per_second': per_second, **values}, example=example)
    self._say(progress_line(number, self._config.run.steps, per_second, self._config.data.batch_size, values))
    bad = next((name for name, value in values.items() if not math.isfinite(value)), None)
    if bad:
      raise UserError(f'step {number}: {bad} is {values[bad]}; checkpoints of earlier steps are kept')

  def _validate(self, number: int, state: TrainState, log: MetricLog) -> float:
    """Returns the mean loss over the held-out batches (infinite without any), and writes its terms."""
    if not self._held_out:
      return math.inf
    found = [
      self._programs.validate(state.model, state.discriminator, self._frozen, to_device(batch, self._sharding))
      for batch in self._held_out
    ]
    host = jax.device_get(found)
    values = {f'validation/{name}': float(np.mean([terms[name] for terms in host])) for name in host[0]}
    log.write(number, values)
    self._say(f'step {number}: validation loss {values["validation/loss"]:.4g}')
    return values['validation/loss']

  def _write_samples(self, number: int, state: TrainState, host_batch: HostBatch) -> None:
    """Writes a labelled grid of the first examples of one batch, as this process has them."""
    if jax.process_count() > 1:
      return  # the pictures lie on several hosts; gathering them is not worth stalling a pod
    batch = to_device(host_batch, self._sharding)
    images = self._programs.images(state.model, state.discriminator, self._frozen, batch)
    grid = samples.columns(self._stage.samples, host_batch, jax.device_get(images), SAMPLE_ROWS)
    samples.write_grid(self._workdir / 'samples' / f'{number:07d}.png', grid)


def _first_example(batch: HostBatch) -> int:
  """Position of a batch's first example, as process 0 has read it."""
  return int(batch['index'][0])
