"""Machines that are described, not at hand: TPU slices for ahead-of-time compilation, GPUs by their number."""

import dataclasses
import importlib.util
import math
import os
import re
from typing import Any

from edtalk_jax import chips
from edtalk_jax.chips import Chip
from edtalk_jax.config import UserError

NODE = 8  # GPUs that NVLink connects
# What lets libtpu be loaded, quickly and quietly, where there is no TPU.
ENVIRONMENT = {
  'JAX_PLATFORMS': 'cpu',
  'TPU_SKIP_MDS_QUERY': '1',  # else it asks the metadata server of a cloud machine, for minutes
  'TPU_WORKER_HOSTNAMES': 'localhost',
  'TPU_ACCELERATOR_TYPE': 'v5litepod-4',  # of this machine, were it one; what is described is another
  'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',  # no chip is touched, so nothing needs its lock
  'TPU_MIN_LOG_LEVEL': '3',
  'TPU_STDERR_LOG_LEVEL': '3',
  'TF_CPP_MIN_LOG_LEVEL': '3',
}


@dataclasses.dataclass(frozen=True)
class Topology:
  """A machine.

  Attributes:
    chip: of which it is made.
    shape: chips of a slice along each dimension of its torus, (number,) for GPUs.
    slices: connected by the data-centre network.
  """

  chip: Chip
  shape: tuple[int, ...]
  slices: int = 1

  @property
  def name(self) -> str:
    """As on the command line: 'v5e:16x16', 'h200:8'."""
    return f'{self.chip.name}:{"x".join(map(str, self.shape))}'

  @property
  def chips(self) -> int:
    """Their number, over all slices."""
    return math.prod(self.shape) * self.slices

  def device(self, devices: int) -> Chip:
    """What one of `devices` devices has of its chip; on TPU v4 and 7x, JAX sees two devices for each chip."""
    share = self.chips / devices
    return dataclasses.replace(
      self.chip, peak=self.chip.peak * share, memory=self.chip.memory * share, bandwidth=self.chip.bandwidth * share
    )

  @property
  def links(self) -> float:
    """Links of a chip over which a collective of the whole slice sends at once.

    A dimension long enough for its ends to be connected is a ring, used both ways; a shorter one is a line, along
    which each byte passes only one way at a time; one chip long, none.
    """
    if self.chip.platform == 'cuda':
      return self.chip.links if self.chips > 1 else 0
    return sum(2 if size >= self.chip.ring else 1 for size in self.shape if size > 1)


def parse(text: str, slices: int = 1) -> Topology:
  """Reads 'v5e:16x16' or 'h200:8'.

  Raises:
    UserError: in one line, if there is no such chip or the shape is none of its shapes.
  """
  name, _, shape = text.partition(':')
  chip = chips.BY_NAME.get(name)
  if chip is None:
    raise UserError(f'--topology {text}: no chip {name!r}; there are {", ".join(chips.BY_NAME)}')
  example = {'cuda': f'{name}:8', 'tpu': f'{name}:{"4x4" if chip.links == 4 else "4x4x4"}'}[chip.platform]
  dimensions = chip.links // 2 if chip.platform == 'tpu' else 1
  if not re.fullmatch(r'[1-9]\d*' + r'x[1-9]\d*' * (dimensions - 1), shape):
    raise UserError(f'--topology {text}: expected a shape of {dimensions} dimension(s), such as {example}')
  sizes = tuple(map(int, shape.split('x')))
  if chip.platform == 'cuda' and (sizes[0] > NODE or slices > 1):
    raise UserError(f'--topology {text}: GPUs are modelled up to one NVLink domain, {name}:1 to {name}:{NODE}')
  if slices < 1:
    raise UserError(f'--slices {slices}: expected at least 1')
  return Topology(chip, sizes, slices)


def prepare() -> None:
  """Lets libtpu be loaded where there is no TPU; before JAX's first use.

  Raises:
    UserError: if libtpu is not installed.
  """
  if importlib.util.find_spec('libtpu') is None:
    raise UserError("compile-report for a TPU needs its compiler: pip install -c constraints.txt -e '.[tpu-aot]'")
  os.environ |= ENVIRONMENT


def describe(topology: Topology) -> list[Any]:
  """Returns the devices of a TPU topology, which compile and cannot run.

  Raises:
    UserError: if libtpu knows no such slice.
  """
  import jax
  from jax.experimental import topologies

  options = {'num_slices': topology.slices} if topology.slices > 1 else {}
  try:
    return list(topologies.get_topology_desc(topology.name, platform='tpu', **options).devices)
  except (jax.errors.JaxRuntimeError, NotImplementedError) as error:
    reason = str(error).splitlines()[0].removeprefix('INVALID_ARGUMENT: ')
    raise UserError(f'--topology {topology.name}: {reason}') from None
