"""The one training loop: steps, and what happens between them."""

import math
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from edtalk_jax import chips
from edtalk_jax.config import Config, RunStopped
from edtalk_jax.stages.stage import Stage
from edtalk_jax.terminal import Preempted
from edtalk_jax.training import flops, samples, sharding
from edtalk_jax.training.checkpoint import Checkpoints
from edtalk_jax.training.events import EventLog
from edtalk_jax.training.feed import HostBatch, Prefetch, to_device
from edtalk_jax.training.metrics import MetricLog
from edtalk_jax.training.observe import Observe, Profile, write_hlo
from edtalk_jax.training.patience import Patience
from edtalk_jax.training.preemption import Preemption
from edtalk_jax.training.programs import Programs
from edtalk_jax.training.reader import Made, StepReader
from edtalk_jax.training.state import TrainState
from edtalk_jax.training.timing import Timing
from edtalk_jax.training.watchdog import Watchdog

SAMPLE_ROWS = 4  # examples in a sample grid
FIRST_STEP_PATIENCE = 10.0  # times guard.stall_seconds, where programs may have to be compiled


class Loop:
  """Runs the steps of one training run and writes its files.

  Steps are read late, so that the host prepares the next one while the device still works on this one.
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
    began: float,
    observe: Observe,
    say: Callable[[str], None],
  ):
    """Binds what stays the same from step to step.

    `held_out` are batches of the validation split; the run was first started at `began`, in seconds since 1970.
    """
    self._config, self._stage, self._programs, self._frozen, self._held_out = config, stage, programs, frozen, held_out
    self._sharding, self._devices = sharding.batch_sharding(mesh), mesh.devices.flatten()
    self._workdir, self._checkpoints, self._say = workdir, checkpoints, say
    self._began, self._observe = began, observe

  def run(self, state: TrainState, batches: Iterator[HostBatch]) -> TrainState:
    """Trains from `state.step` to `config.run.steps` on `batches`, whose first is that of the next step.

    It ends sooner if the validation loss has not fallen for `config.checkpoint.patience` checkpoints.
    """
    config, first, last, process = self._config, int(state.step), self._config.run.steps, jax.process_index()
    guard, shows = config.guard, config.log.samples_every and self._stage.samples
    with (
      MetricLog(self._workdir, first, enabled=process == 0, say=self._say) as log,
      EventLog(self._workdir, first, process) as events,
      Watchdog(
        self._workdir, guard.stall_seconds, end=guard.stall_end, process=process, also=getattr(batches, 'doing', list)
      ) as watchdog,
      Prefetch(batches, self._sharding) as ahead,
      Timing(first, config.data.batch_size, began=self._began, productive=log.last('time/productive')) as timing,
      Profile(self._observe.profile, self._workdir, self._say) as profile,
      Preemption() as preemption,
    ):
      reader = StepReader(config, self._workdir, log, events, timing, self._say, self._stage.diagnose)
      if first == last:  # a run of no steps: what training begins with
        self._save(first, state, log)
      patience = Patience(config.checkpoint, self._workdir)
      for number in range(first + 1, last + 1):
        slow = FIRST_STEP_PATIENCE if number == first + 1 else 1.0
        watchdog.begins(f'reading the batch of step {number}', slow)
        with timing.during('data_wait'):
          host_batch, batch = next(ahead)
        watchdog.begins(f'step {number}', slow)
        started = time.monotonic()
        with profile.step(number):
          state, metrics = self._programs.train(state, self._frozen, batch)
        timing.dispatched(number, started, metrics)
        reader.read_due()
        save = number % config.checkpoint.every == 0 or number == last
        show = shows and (number % config.log.samples_every == 0 or number == last)
        reader.add(Made(number, metrics, host_batch, logged=bool(save or show or number % config.log.every == 0)))
        if number == first + 1:
          jax.block_until_ready(metrics)
          self._say(f'first step done after {time.monotonic() - started:.0f} s (most of it compilation)')
          self._write_hlo(state, batch)
          timing.first_step(number, self._examples_at_peak(state, batch))
        profile.after(number, metrics)
        if save or show:  # the device has to be waited for anyway
          reader.read_all()
        with timing.during('pause'):
          if show:
            watchdog.begins(f'sample pictures after step {number}', FIRST_STEP_PATIENCE)
            self._write_samples(number, state, self._held_out[0] if self._held_out else host_batch)
          if save:
            watchdog.begins(f'validation and checkpoint after step {number}', FIRST_STEP_PATIENCE)
            patience.sees(number, self._save(number, state, log))
        if save and (why := patience.spent(number)):
          self._say(f'step {number}: {why}; the run ends here')
          break
        if preemption.reached() and number < last:
          reader.read_all()
          if not save:
            self._save(number, state, log, validate=False)  # no line that a run without the stop would not have
          self._checkpoints.wait()
          raise Preempted(f'step {number} is saved; run the same command again to go on')
      for line in reader.summary():
        self._say(line)
    return state

  def _examples_at_peak(self, state: TrainState, batch: dict[str, jax.Array]) -> float | None:
    """Examples per second if all devices worked at their peak FLOP/s; None where that is not known, as on CPUs."""
    peak = chips.peak_flops(self._devices[0].device_kind, self._config.model.dtype)
    if peak is None:
      return None
    traced = self._programs.train.trace(state, self._frozen, batch)  # kept from the first step
    return peak * self._devices.size * self._config.data.batch_size / flops.count_jaxpr(traced.jaxpr)

  def _write_hlo(self, state: TrainState, batch: dict[str, jax.Array]) -> None:
    """Writes the train step as text, if that was asked for, from one process."""
    if self._observe.hlo and jax.process_index() == 0:
      paths = write_hlo(self._observe.hlo, self._programs.train, state, self._frozen, batch)
      self._say(f'wrote {" and ".join(map(str, paths))}')

  def _save(self, number: int, state: TrainState, log: MetricLog, validate: bool = True) -> float:
    """Validates and starts saving; returns the validation loss, infinite if it is unknown.

    Raises RunStopped if the state is not finite: no run could go on from it.
    """
    if not self._programs.finite(state):
      raise RunStopped(
        f'step {number}: a parameter or moment is not finite; it is not saved, checkpoints of earlier steps are kept'
      )
    loss = self._validate(number, state, log) if validate else math.inf
    log.sync()
    self._checkpoints.save(state, loss)
    return loss

  def _validate(self, number: int, state: TrainState, log: MetricLog) -> float:
    """Returns the mean loss over the held-out batches (infinite without any), and writes its terms."""
    if not self._held_out:
      return math.inf
    found = [
      self._programs.validate(state.shown, state.discriminator, self._frozen, to_device(batch, self._sharding))
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
    images = self._programs.images(state.shown, state.discriminator, self._frozen, batch)
    grid = samples.columns(self._stage.samples, host_batch, jax.device_get(images), SAMPLE_ROWS)
    samples.write_grid(self._workdir / 'samples' / f'{number:07d}.png', grid)
