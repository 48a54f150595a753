"""What Google Cloud calls the TPUs that `--topology v5e:16x16` names, and how many hosts they come with.

Names: Cloud TPU documentation, "TPU versions" and "Plan TPUs in GKE" (read November 2026).
"""

import dataclasses
import math
import re

from edtalk_jax.config import UserError


@dataclasses.dataclass(frozen=True)
class Kind:
  """A generation of TPUs.

  Attributes:
    dimensions: of a topology.
    node_label: GKE's cloud.google.com/gke-tpu-accelerator.
    type_prefix: of gcloud's --accelerator-type; '' where there are no TPU VMs outside GKE.
    cores_per_chip: by which the number in that type counts.
    runtime: gcloud's --runtime-version.
    largest_host: chips of the largest slice that is a single host; larger slices have 4 a host.
  """

  dimensions: int
  node_label: str
  type_prefix: str
  cores_per_chip: int
  runtime: str
  largest_host: int


KINDS = {
  'v4': Kind(3, 'tpu-v4-podslice', 'v4', 2, 'tpu-ubuntu2204-base', 4),
  'v5e': Kind(2, 'tpu-v5-lite-podslice', 'v5litepod', 1, 'v2-alpha-tpuv5-lite', 8),
  'v5p': Kind(3, 'tpu-v5p-slice', 'v5p', 2, 'v2-alpha-tpuv5', 4),
  'v6e': Kind(2, 'tpu-v6e-slice', 'v6e', 1, 'v2-alpha-tpuv6e', 8),
  'tpu7x': Kind(3, 'tpu7x', '', 2, '', 4),
}


@dataclasses.dataclass(frozen=True)
class Slice:
  """One slice of TPUs.

  Attributes:
    kind: its generation.
    shape: chips along each dimension, '16x16'.
    chips: how many.
    hosts: how many.
  """

  kind: Kind
  shape: str
  chips: int
  hosts: int

  @property
  def chips_per_host(self) -> int:
    """Chips of each host."""
    return self.chips // self.hosts

  @property
  def accelerator_type(self) -> str:
    """gcloud's name, such as v5litepod-256. Raises UserError where there is none."""
    if not self.kind.type_prefix:
      raise UserError(f'--topology {self.kind.node_label}: comes with GKE only; use python -m launch.gke')
    return f'{self.kind.type_prefix}-{self.chips * self.kind.cores_per_chip}'


def parse(topology: str) -> Slice:
  """Returns the slice that e.g. 'v5e:16x16' or 'v5p:4x4x8' names. Raises UserError."""
  name, _, shape = topology.partition(':')
  if name not in KINDS:
    raise UserError(f'--topology {topology}: unknown TPU {name!r}, expected one of {", ".join(KINDS)}')
  kind = KINDS[name]
  if not re.fullmatch(r'x'.join([r'[1-9]\d*'] * kind.dimensions), shape):
    example = 'x'.join(['4'] * kind.dimensions)
    raise UserError(f'--topology {topology}: expected {kind.dimensions} dimensions, e.g. {name}:{example}')
  chips = math.prod(map(int, shape.split('x')))
  if chips > kind.largest_host and chips % 4:
    raise UserError(f'--topology {topology}: {chips} chips; expected a multiple of 4')
  return Slice(kind, shape, chips, 1 if chips <= kind.largest_host else chips // 4)
