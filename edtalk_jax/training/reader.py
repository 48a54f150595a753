"""Reads what a step left on the device, after the next one has been started: metric lines and alarms."""

import dataclasses
import math
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping

import jax

from edtalk_jax.config import Config, RunStopped
from edtalk_jax.training import events as events_lib
from edtalk_jax.training import guards
from edtalk_jax.training.events import EventLog
from edtalk_jax.training.feed import HostBatch
from edtalk_jax.training.metrics import MetricLog, progress_line
from edtalk_jax.training.timing import Timing

SEEN_EVERY_STEP = ('loss', *guards.SKIPS)
# Waiting for a step costs the host about a millisecond of processor time; these are waited for at once. Their batches
# stay in memory until then.
TOGETHER = 4
DIAGNOSED = 10  # metric lines that `Stage.diagnose` is given the means of


@dataclasses.dataclass(frozen=True)
class Made:
  """A step that was started.

  Attributes:
    number: of the step, from 1.
    metrics: its scalars, on the device.
    batch: what it was made from, as this process has read it.
    logged: whether it gets a metric line.
  """

  number: int
  metrics: dict[str, jax.Array]
  batch: HostBatch
  logged: bool


class StepReader:
  """Looks at every step once, in order, and at all metrics of those that are logged.

  Reading a step waits for it; done while the next one runs, the device does not notice. Which steps are read when, and
  what is found, depends on step numbers and replicated scalars alone, so that all processes stop at the same step.
  """

  def __init__(
    self,
    config: Config,
    workdir: pathlib.Path,
    log: MetricLog,
    events: EventLog,
    timing: Timing,
    say: Callable[[str], None],
    diagnose: Callable[[int, Mapping[str, float]], str] | None = None,
  ):
    """Binds where everything goes; `diagnose` is the stage's."""
    self._config, self._workdir, self._log, self._events, self._say = config, workdir, log, events, say
    self._timing, self._diagnose = timing, diagnose
    self._undiagnosed: list[dict[str, float]] = []
    self._spikes = guards.Spikes(config.guard.spike_factor, config.guard.spike_window)
    self._corrupt: set[str] = set()
    self._unread: list[Made] = []

  def add(self, made: Made) -> None:
    """Takes a step that was started, to be read later."""
    self._unread.append(made)

  def read_due(self) -> None:
    """Reads the steps taken if the last one is logged, or there are enough; called when the next one is started."""
    if self._unread and (self._unread[-1].logged or len(self._unread) >= TOGETHER):
      self.read_all()

  def read_all(self) -> None:
    """Waits for the steps taken; writes the metric lines of those logged, and what the guards say of each.

    Raises:
      RunStopped: after `guard.stop_after` skipped updates in a row.
    """
    taken, self._unread = self._unread, []
    with self._timing.during('device_wait'):
      jax.block_until_ready([made.metrics for made in taken])
    for made in taken:
      self._read(made)

  def _read(self, made: Made) -> None:
    names = made.metrics if made.logged else SEEN_EVERY_STEP
    values = {name: float(v) for name, v in jax.device_get({name: made.metrics[name] for name in names}).items()}
    if made.logged:
      self._report(made, values)
    self._substitutes(made)
    if values['guard/skipped_in_row']:
      self._skipped(made, values)
    elif (median := self._spikes.sees(values['loss'])) is not None:
      self._tell(made, 'spike', loss=values['loss'], median=median)
      self._say(
        f'step {made.number}: loss {values["loss"]:.4g} jumps out of those before (median {median:.4g}); '
        f'{self._events.path} names the examples'
      )

  def summary(self) -> list[str]:
    """What there is to say at the end of a run that went wrong in places; [] if it did not."""
    counts = self._events.counts
    said = {'skipped': 'updates skipped', 'substituted': 'examples replaced, their records being corrupt'}
    return [f'{counts[name]} {what}; see {self._events.path}' for name, what in said.items() if counts[name]]

  def _report(self, made: Made, values: dict[str, float]) -> None:
    timing = self._timing.read(made.number)
    self._log.write(made.number, {**timing, **values}, example=_first_example(made.batch))
    rate = timing['examples_per_second']
    self._say(progress_line(made.number, self._config.run.steps, rate, self._config.data.batch_size, values))
    if self._diagnose is not None:
      self._undiagnosed.append(values)
      if len(self._undiagnosed) == DIAGNOSED:
        lines, self._undiagnosed = self._undiagnosed, []
        means = {name: statistics.fmean(line[name] for line in lines) for name in values}
        self._say(f'step {made.number}: {self._diagnose(DIAGNOSED * self._config.data.batch_size, means)}')

  def _skipped(self, made: Made, values: dict[str, float]) -> None:
    everything = {name: float(value) for name, value in jax.device_get(made.metrics).items()}
    bad = [name for name, value in everything.items() if not math.isfinite(value)]
    in_row, limit = int(values['guard/skipped_in_row']), self._config.guard.stop_after
    self._tell(made, 'skipped', in_row=in_row, not_finite=bad)
    reason = f'step {made.number}: {bad[0]} is {everything[bad[0]]}; update skipped ({in_row} in a row)'
    self._say(f'{reason}; {self._events.path} names the examples')
    if in_row >= limit:
      raise RunStopped(f'{reason}, guard.stop_after={limit}; {self._dump(made)}; checkpoints of earlier steps are kept')

  def _dump(self, made: Made) -> str:
    try:
      path = events_lib.dump_batch(self._workdir, made.number, made.batch, jax.process_index())
    except OSError as error:  # the message must not be lost over a full disk
      return f'its batch could not be written ({error.strerror})'
    return f'its batch is in {path}'

  def _substitutes(self, made: Made) -> None:
    """Says once of each corrupt record that it was found; counts every example that it took away."""
    corrupt = made.batch.get('corrupt', [''] * len(made.batch['index']))
    found = {int(i): str(text) for i, text in zip(made.batch['index'], corrupt, strict=True) if text}
    for example, text in found.items():
      self._events.write(made.number, 'substituted', example=example, corrupt=text)
    for text in sorted({*found.values()} - self._corrupt):
      line = f'step {made.number}: {text}; other clips take its place (data.on_corrupt=skip)'
      if jax.process_index() == 0:
        self._say(line)
      else:  # no other process has read this share of the batch
        print(f'process {jax.process_index()}: {line}', file=sys.stderr, flush=True)
      self._corrupt.add(text)

  def _tell(self, made: Made, event: str, **facts) -> None:
    first = made.number * self._config.data.batch_size - self._config.data.batch_size
    last = made.number * self._config.data.batch_size - 1
    pictures = events_lib.pictures_of(made.batch)
    self._events.write(made.number, event, examples=[first, last], **facts, pictures=pictures)


def _first_example(batch: HostBatch) -> int:
  """Position of a batch's first example, as process 0 has read it."""
  return int(batch['index'][0])
