"""The training loop."""

import pathlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax

from edtalk_jax import chips
from edtalk_jax.config import Config
from edtalk_jax.stages.stage import Stage
from edtalk_jax.terminal import Preempted
from edtalk_jax.training import flops, sharding
from edtalk_jax.training.events import EventLog
from edtalk_jax.training.feed import HostBatch, Prefetch
from edtalk_jax.training.hooks import Hook, Step, StopTraining
from edtalk_jax.training.metrics import MetricLog
from edtalk_jax.training.observe import NOTHING, Observe, Profile, write_hlo
from edtalk_jax.training.preemption import Preemption
from edtalk_jax.training.programs import Programs
from edtalk_jax.training.reader import Made, StepReader
from edtalk_jax.training.state import TrainState
from edtalk_jax.training.timing import Timing
from edtalk_jax.training.watchdog import Watchdog

FIRST_STEP_PATIENCE = 10.0  # times guard.stall_seconds, where programs may have to be compiled


def fit(
  stage: Stage,
  compiled: Programs,
  state: TrainState,
  batches: Iterable[HostBatch],
  hooks: Sequence[Hook] = (),
  *,
  config: Config,
  workdir: pathlib.Path,
  frozen: Any = None,
  began: float | None = None,
  observe: Observe = NOTHING,
  say: Callable[[str], None] = print,
) -> TrainState:
  """Trains from `state.step` to `config.run.steps` and writes the metrics and events of `workdir`.

  Metrics are fetched one step late, so that the host prepares the next step while the device works on this one.

  Args:
    stage: what is trained.
    compiled: the stage's functions on a mesh.
    state: before the first step; donated.
    batches: this process's share of each batch, the first of them for step `state.step + 1`.
    hooks: what happens between steps, in this order; a `StopTraining` of theirs ends the run early.
    config: of the run; `run.steps`, `log.every`, `data.batch_size` and `guard` are read here.
    workdir: where metrics, events, stacks of stalls and profiles go.
    frozen: parameters that never train, on the mesh.
    began: when the run was first started, in seconds since 1970; None: now.
    observe: a profile and the text of the step, if wanted.
    say: where progress lines go.

  Returns:
    The state after the last step.

  Raises:
    RunStopped: after too many updates in a row that were not finite (`guard.stop_after`).
    Preempted: after SIGTERM or SIGINT, once the hooks have saved the state.
  """
  first, last, process = int(state.step), config.run.steps, jax.process_index()
  began, frozen, batches = began or time.time(), frozen or {}, iter(batches)
  guard, doing = config.guard, getattr(batches, 'doing', list)
  with (
    MetricLog(workdir, first, enabled=process == 0, say=say) as log,
    EventLog(workdir, first, process) as events,
    Watchdog(workdir, guard.stall_seconds, end=guard.stall_end, process=process, also=doing) as watchdog,
    Prefetch(batches, sharding.batch_sharding(compiled.mesh)) as prefetch,
    Timing(first, config.data.batch_size, began=began, productive=log.last('time/productive')) as timing,
    Profile(observe.profile, workdir, say) as profile,
    Preemption() as preemption,
  ):
    reader = StepReader(config, workdir, log, events, timing, say, stage.diagnose)
    if first == last:
      for hook in hooks:
        hook.without_steps(Step(first, state, {}, log))
    for number in range(first + 1, last + 1):
      slow = FIRST_STEP_PATIENCE if number == first + 1 else 1.0
      watchdog.begins(f'reading the batch of step {number}', slow)
      with timing.during('data_wait'):
        host_batch, batch = next(prefetch)
      watchdog.begins(f'step {number}', slow)
      started = time.monotonic()
      with profile.step(number):
        state, metrics = compiled.train(state, frozen, batch)
      timing.dispatched(number, started, metrics)
      reader.read_due()
      due = [hook for hook in hooks if hook.due(number, last)]
      reader.add(Made(number, metrics, host_batch, logged=bool(due) or number % config.log.every == 0))
      if number == first + 1:
        jax.block_until_ready(metrics)
        say(f'first step done after {time.monotonic() - started:.0f} s (most of it compilation)')
        if observe.hlo and process == 0:
          say(f'wrote {" and ".join(map(str, write_hlo(observe.hlo, compiled.train, state, frozen, batch)))}')
        timing.first_step(number, _examples_at_peak(compiled, config, state, frozen, batch))
      profile.after(number, metrics)
      step = Step(number, state, host_batch, log)
      if due:  # the device has to be waited for anyway
        reader.read_all()
      try:
        with timing.during('pause'):
          for hook in due:
            watchdog.begins(f'{hook.name} after step {number}', FIRST_STEP_PATIENCE)
            hook(step)
      except StopTraining as stop:
        say(f'step {number}: {stop}; the run ends here')
        break
      if preemption.reached() and number < last:
        reader.read_all()
        for hook in hooks:
          hook.interrupt(step)
        raise Preempted(f'step {number} is saved; run the same command again to go on')
    for line in reader.summary():
      say(line)
  return state


def _examples_at_peak(
  compiled: Programs, config: Config, state: TrainState, frozen: Any, batch: dict[str, jax.Array]
) -> float | None:
  """Examples per second if all devices worked at their peak FLOP/s; None where that is not known, as on CPUs."""
  devices = compiled.mesh.devices.flatten()
  peak = chips.peak_flops(devices[0].device_kind, config.model.dtype)
  if peak is None:
    return None
  traced = compiled.train.trace(state, frozen, batch)  # kept from the first step
  return peak * devices.size * config.data.batch_size / flops.count_jaxpr(traced.jaxpr)
