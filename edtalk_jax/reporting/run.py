"""`edtalk compile-report`: from a configuration and a described machine to reports."""

import dataclasses
import importlib.metadata
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from edtalk_jax import settings as settings_lib
from edtalk_jax import stages
from edtalk_jax.config import Config, MeshConfig, UserError
from edtalk_jax.reporting import collectives, cycles, memory, program, render, roofline
from edtalk_jax.reporting import hlo as hlo_lib
from edtalk_jax.reporting import topology as topology_lib
from edtalk_jax.reporting.collectives import Collective
from edtalk_jax.reporting.memory import Memory
from edtalk_jax.reporting.prices import Prices
from edtalk_jax.reporting.report import Report, to_json
from edtalk_jax.reporting.topology import Topology
from edtalk_jax.training import flops, programs, sharding, trees

Say = Callable[[str], None]
PACKAGES = ('jax', 'jaxlib', 'libtpu')


def configure(path: str, overrides: Sequence[str], mesh: str | None, batch_size: int | None) -> Config:
  """Reads the configuration, with 'data=256,fsdp=1' and the batch of the command line in their places.

  Raises:
    UserError: in one line.
  """
  config = settings_lib.load(path, overrides)
  more = {
    '--mesh ': [f'mesh.{part.strip()}' for part in mesh.split(',')] if mesh else [],
    '--batch-size ': [] if batch_size is None else [f'data.batch_size={batch_size}'],
  }
  for option, settings in more.items():
    try:
      config = settings_lib.apply_overrides(config, settings)
    except UserError as error:
      raise UserError(str(error).replace('--set ', option, 1)) from None
  return config


def write(
  path: str,
  overrides: Sequence[str],
  mesh: str | None,
  batch_sizes: Sequence[int],
  topology: Topology,
  prices: Prices,
  *,
  out: str | None = None,
  hlo: str | None = None,
) -> None:
  """Prints a report for each batch size; writes them to the folder `out` and their programs to the folder `hlo`.

  Raises:
    UserError: as `reports` does.
  """
  import rich.console

  console = rich.console.Console(highlight=False, markup=False, width=120)

  def stem(batch_size: int) -> str:
    slices = f'{topology.slices}x' if topology.slices > 1 else ''
    return f'{pathlib.Path(path).stem}_{slices}{topology.name.replace(":", "_")}_b{batch_size}'

  def keep(batch_size: int, text: str) -> None:
    _save(pathlib.Path(hlo) / f'{stem(batch_size)}.hlo', text)

  for report in reports(path, overrides, mesh, batch_sizes, topology, prices, keep_hlo=keep if hlo else None):
    render.show(report, console)
    if out is not None:
      file = pathlib.Path(out) / stem(report.batch_size)
      _save(file.with_name(file.name + '.json'), to_json(report))
      _save(file.with_name(file.name + '.md'), render.markdown(report))


def _save(file: pathlib.Path, text: str) -> None:
  file.parent.mkdir(parents=True, exist_ok=True)
  part = file.with_name(f'.{file.name}.part')
  part.write_text(text)
  part.rename(file)
  print(f'wrote {file}')


def reports(
  path: str,
  overrides: Sequence[str],
  mesh: str | None,
  batch_sizes: Sequence[int],
  topology: Topology,
  prices: Prices,
  say: Say = print,
  keep_hlo: Callable[[int, str], None] | None = None,
) -> Iterator[Report]:
  """Yields a report for each batch size, the configuration's own where none is given.

  Each estimates the largest batch from its own memory and that of those before it.

  Args:
    path: of the configuration.
    overrides: of its fields, NAME=VALUE.
    mesh: such as 'data=256,fsdp=1'; None for the configuration's.
    batch_sizes: global.
    topology: the machine. `topology.prepare` must have been called for a TPU.
    prices: of chips.
    say: where progress lines go: compiling takes minutes.
    keep_hlo: given the batch size and text of each compiled program.

  Raises:
    UserError: in one line, on a mistake in the arguments.
  """
  configs = [configure(path, overrides, mesh, size) for size in (batch_sizes or (None,))]
  one = _compiled if topology.chip.platform == 'tpu' else _from_shapes
  memories: dict[int, Memory] = {}
  for config in configs:
    base = {
      'config': path,
      'overrides': tuple(overrides),
      'stage': config.run.stage,
      'dtype': config.model.dtype,
      'topology': topology.name,
      'slices': topology.slices,
      'chips': topology.chips,
      'largest_batch': 0,
      'batch_size': config.data.batch_size,
      'chip_hour': prices.chip_hour.get(topology.chip.name),
      'currency': prices.currency,
      'price_date': prices.date,
      'versions': _versions(),
    }
    report, gradients = one(config, topology, base, say, keep_hlo)
    memories[report.batch_size // report.devices] = report.memory
    largest = memory.largest_batch(memories, program.example_bytes(config), gradients)
    yield dataclasses.replace(report, largest_batch=largest * report.devices)


def _compiled(
  config: Config, topology: Topology, base: dict[str, Any], say: Say, keep_hlo: Callable[[int, str], None] | None
) -> tuple[Report, int]:
  """Compiles the step ahead of time and reads what the compiler says."""
  devices = topology_lib.describe(topology)
  mesh = sharding.make_mesh(config.mesh, devices)
  traced, inputs = program.trace(config, mesh)
  chip = topology.device(len(devices))
  floor = roofline.floor(traced.jaxpr, chip, len(devices))
  lowered = program.lower(traced, mesh, chip.platform)
  name = program.digest(lowered)
  say(f'{topology.name}, batch {config.data.batch_size}: compiling, which takes minutes (program {name[:12]})')
  found = {
    'devices': len(devices),
    'mesh': dict(mesh.shape),
    'method': 'compiled',
    'program': name,
    'peak': chip.peak,
    'model_flops': flops.count_jaxpr(traced.jaxpr) / len(devices),
    'executed_flops': floor.flops,
    'floor_seconds': floor.seconds,
    'compiler': programs.compiler_options(config, mesh),
  }
  gradients = gradient_bytes(config, inputs[0])
  start = time.process_time()
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    refused = memory.exhausted(str(error), program.device_bytes(inputs), chip.memory)
    if refused is None:
      raise programs.refused_option(error) or error from None
    none = dict.fromkeys(('bytes_accessed', 'compute_seconds', 'exposed_seconds'), 0.0)
    return Report(**base, **found, **none, memory=refused, compile_seconds=time.process_time() - start), gradients
  seconds = time.process_time() - start
  text = compiled.as_text()
  if keep_hlo is not None:
    keep_hlo(config.data.batch_size, text)
  module = hlo_lib.parse(text)
  exchanged = collectives.find(module, topology, len(devices))
  kinds = cycles.by_kind(module)
  return Report(
    **base,
    **found,
    compile_seconds=round(seconds, 1),
    memory=memory.of(compiled, chip.memory),
    bytes_accessed=memory.traffic(compiled, module),
    compute_seconds=sum(kind.cycles for kind in kinds) / topology.chip.clock,
    exposed_seconds=sum(one.seconds - one.hidden for one in exchanged),
    kinds=tuple(kinds),
    sources=tuple(cycles.by_source(module)),
    unestimated=tuple(cycles.without_estimate(module)),
    collectives=tuple(exchanged),
  ), gradients


def _from_shapes(
  config: Config, topology: Topology, base: dict[str, Any], say: Say, keep_hlo: Callable[[int, str], None] | None
) -> tuple[Report, int]:
  """A floor from shapes: one device's share of the batch on one device, and the gradients' sum over all."""
  del say, keep_hlo  # nothing is compiled
  chip, devices = topology.chip, topology.chips
  if (config.mesh.fsdp, config.mesh.spatial) != (1, 1) or config.mesh.data not in (-1, devices):
    raise UserError(f'--mesh: GPUs are modelled with the batch divided over all, data={devices},fsdp=1,spatial=1')
  if config.data.batch_size % devices:
    raise UserError(f'--batch-size {config.data.batch_size} must be a multiple of the {devices} devices')
  own = dataclasses.replace(
    config,
    mesh=MeshConfig(),
    data=dataclasses.replace(config.data, batch_size=config.data.batch_size // devices),
  )
  mesh = sharding.make_mesh(own.mesh, jax.devices()[:1]).abstract_mesh
  traced, inputs = program.trace(own, mesh)
  floor = roofline.floor(traced.jaxpr, chip)
  gradients = gradient_bytes(config, inputs[0])
  seconds = collectives.link_seconds('all-reduce', gradients, devices, topology, devices)
  held = program.device_bytes(inputs)
  exchanged = Collective('all-reduce', 'gradients', devices, gradients, seconds, min(seconds, floor.seconds))
  return Report(
    **base,
    devices=devices,
    mesh={**mesh.shape, 'data': devices},
    method='shapes',
    program=program.digest(program.lower(traced, mesh, chip.platform)),
    compile_seconds=0.0,
    memory=Memory(held, max(0, roofline.live_bytes(traced.jaxpr) - held), 0, int(chip.memory)),
    model_flops=flops.count_jaxpr(traced.jaxpr),
    executed_flops=floor.flops,
    bytes_accessed=floor.size,
    floor_seconds=floor.seconds,
    compute_seconds=floor.seconds,
    exposed_seconds=seconds - exchanged.hidden,
    peak=chip.peak,
    collectives=(exchanged,) if devices > 1 else (),
  ), gradients


def gradient_bytes(config: Config, state: Any) -> int:
  """Bytes of both networks' gradients on each device."""
  trainable, _ = trees.split(state.model, stages.build(config).trainable)
  return program.device_bytes((trainable, state.discriminator))


def _versions() -> dict[str, str]:
  found = {}
  for package in PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue
  return found
