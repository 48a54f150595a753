"""The report: what was found about one step on one machine, and what follows from it."""

import dataclasses
import json
from typing import Any

from edtalk_jax.reporting.collectives import Collective
from edtalk_jax.reporting.cycles import Share
from edtalk_jax.reporting.memory import Memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
  """One step of one configuration on one described machine. JSON keeps these names.

  Attributes:
    config: path of the configuration.
    overrides: `--set`, in order.
    stage: that it trains.
    dtype: of its convolutions.
    topology: such as 'v5e:16x16'.
    slices: of it.
    devices: as JAX counts them; `chips`: as they are rented.
    mesh: axes and their sizes.
    batch_size: global.
    method: 'compiled' ahead of time by the chip's compiler, or 'shapes': a floor from shapes alone.
    program: SHA-256 of the step (`program.digest`).
    compiler: its options, but for those that it has by itself.
    versions: of what it depends on.
    compile_seconds: processor seconds of compilation, 0 if it came from the cache.
    memory: of each device.
    largest_batch: global; estimated, see `memory.largest_batch`.
    model_flops: operations of one device's share of a step that its mathematics needs: the cheapest of equal forms.
    executed_flops: those of the forms that this platform runs.
    bytes_accessed: of HBM by one device, as the compiler counts them (method 'shapes': of the products).
    floor_seconds: of a step, by `roofline.floor`.
    compute_seconds: the compiler's estimated cycles at the chip's clock (method 'shapes': the floor).
    exposed_seconds: of collectives that no computation hides.
    peak: FLOP/s of one device.
    chip_hour: price, None where unknown; `currency` and `price_date` belong to it.
    kinds: cycles by kind of operation; `sources`: by function of ours.
    unestimated: operations that take time of which the compiler says nothing (`cycles.without_estimate`).
    collectives: as `collectives.find` gives them.
  """

  config: str
  overrides: tuple[str, ...]
  stage: str
  dtype: str
  topology: str
  slices: int
  devices: int
  chips: int
  mesh: dict[str, int]
  batch_size: int
  method: str
  program: str
  versions: dict[str, str]
  compile_seconds: float
  memory: Memory
  largest_batch: int
  model_flops: float
  executed_flops: float
  bytes_accessed: float
  floor_seconds: float
  compute_seconds: float
  exposed_seconds: float
  peak: float
  chip_hour: float | None
  currency: str
  price_date: str
  kinds: tuple[Share, ...] = ()
  sources: tuple[Share, ...] = ()
  unestimated: tuple[Share, ...] = ()
  collectives: tuple[Collective, ...] = ()
  compiler: dict[str, str] = dataclasses.field(default_factory=dict)

  @property
  def fits(self) -> bool:
    """Whether the step's memory is there."""
    return self.memory.fits

  @property
  def step_seconds(self) -> float:
    """Predicted time of a step."""
    return self.compute_seconds + self.exposed_seconds

  @property
  def examples_per_second(self) -> float:
    """Over all devices."""
    return self.batch_size / self.step_seconds if self.step_seconds else 0.0

  @property
  def mfu(self) -> float:
    """Model FLOPs utilisation: the mathematics' operations as a share of the chips' peak."""
    return self.model_flops / self.step_seconds / self.peak if self.step_seconds else 0.0

  @property
  def intensity(self) -> float:
    """Operations for each byte of HBM."""
    return self.executed_flops / self.bytes_accessed if self.bytes_accessed else 0.0

  @property
  def million_cost(self) -> float | None:
    """Price of a million examples, None where the chip's is unknown."""
    if self.chip_hour is None or not self.examples_per_second:
      return None
    return 1e6 / self.examples_per_second / 3600 * self.chips * self.chip_hour


DERIVED = ('fits', 'step_seconds', 'examples_per_second', 'mfu', 'intensity', 'million_cost')


def to_json(report: Report) -> str:
  """The report and what follows from it, as JSON."""
  content: dict[str, Any] = dataclasses.asdict(report)
  content['memory']['peak'] = report.memory.peak
  content |= {name: getattr(report, name) for name in DERIVED}
  return json.dumps(content, indent=1) + '\n'
