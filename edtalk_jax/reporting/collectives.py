"""What devices send one another in a step, and how much of that time computation hides."""

import dataclasses
import math
import re

from edtalk_jax.reporting import hlo
from edtalk_jax.reporting.hlo import Instruction, Module
from edtalk_jax.reporting.topology import Topology

# Bytes that a device sends for each byte that it holds before, in a group of n (ring algorithms, which are optimal).
SENT = {
  'all-reduce': lambda n: 2 * (n - 1) / n,
  'all-gather': lambda n: n - 1,
  'reduce-scatter': lambda n: (n - 1) / n,
  'all-to-all': lambda n: (n - 1) / n,
  'ragged-all-to-all': lambda n: (n - 1) / n,
  'collective-permute': lambda n: 1,
  'collective-broadcast': lambda n: 1,
}


@dataclasses.dataclass(frozen=True)
class Collective:
  """One exchange, as often as it happens in a step.

  Attributes:
    kind: such as 'all-reduce'.
    source: the path of JAX's primitive behind it.
    group: devices that take part together.
    size: bytes that a device holds of it before.
    seconds: of all its turns at the speed of the links, without latency.
    hidden: seconds of these during which the device computes.
  """

  kind: str
  source: str
  group: int
  size: float
  seconds: float
  hidden: float


def find(module: Module, topology: Topology, devices: int) -> list[Collective]:
  """Returns the collectives in the order in which they start; those between a start and a done can be hidden."""
  found = []
  for name, times in _sequences(module):
    found += _of_sequence(module, module.computations[name], times, topology, devices)
  return found


def link_seconds(kind: str, size: float, group: int, topology: Topology, devices: int) -> float:
  """Seconds of one collective at the speed of the links.

  A group as large as the slice uses all its dimensions at once; a smaller one is taken to lie along one of them. What
  crosses slices is reduced within them first, and goes over the network of each chip (ours, after Austin et al., How
  to scale your model, 2025).
  """
  if group <= 1 or not size:
    return 0.0
  chip, in_slice = topology.chip, devices // topology.slices
  links = topology.links if group >= in_slice else min(2.0, topology.links)
  share = devices / topology.chips  # devices of a chip have its links in common
  inner = min(group, in_slice)
  seconds = SENT[kind](inner) * size * share / (max(links, 1) * chip.link_bandwidth)
  if group > in_slice:
    outer = math.ceil(group / in_slice)
    seconds += SENT[kind](outer) * size / in_slice * share / chip.network_bandwidth
  return seconds


def _sequences(module: Module, name: str | None = None, times: int = 1):
  """Computations that run one instruction after the other, and how often."""
  name = name or module.entry
  yield name, times
  for instruction in module.computations[name]:
    if instruction.opcode in hlo.CONTROL:
      for called in instruction.called:
        yield from _sequences(module, called, times * module.trips(instruction))


def _of_sequence(
  module: Module, sequence: tuple[Instruction, ...], times: int, topology: Topology, devices: int
) -> list[Collective]:
  free = [instruction.cycles / topology.chip.clock for instruction in sequence]  # seconds that still can hide something
  found = []
  for start, end, core in _spans(module, sequence):
    kind, group = core.opcode.removesuffix('-start'), _group(core, devices)
    around = (*sequence, *module.inside(sequence[start]))
    shapes = {instruction.name: instruction.shape for instruction in around}
    size = sum(hlo.size(shapes.get(name, '')) for name in core.operands)
    seconds = link_seconds(kind, size, group, topology, devices)
    hidden = 0.0
    for between in range(start + 1, end):
      taken = min(free[between], seconds - hidden)
      free[between] -= taken
      hidden += taken
    source = core.op_name or sequence[start].op_name
    found.append(Collective(kind, source, group, size, seconds * times, hidden * times))
  return found


def _spans(module: Module, sequence: tuple[Instruction, ...]) -> list[tuple[int, int, Instruction]]:
  """Where each collective of a sequence begins and where it is done with, in the order of their beginnings.

  TPUs carry a collective along with computation: a fusion starts it, fusions that compute something else each take it
  a step further, a last one waits for it. All of them name its channel.
  """
  spans: dict[str, tuple[int, int, Instruction]] = {}
  for at, instruction in enumerate(sequence):
    core = _core(module, instruction)
    if core is None:
      continue
    channel = re.search(r'channel_id=(\d+)', core.attributes)
    key = channel[1] if channel else instruction.name
    if key in spans:
      start, _, first = spans[key]
      spans[key] = start, at, first
    else:
      spans[key] = at, _end(sequence, at), core
  return list(spans.values())


def _core(module: Module, instruction: Instruction) -> Instruction | None:
  """The collective that an instruction is or starts."""
  if instruction.opcode.endswith('-done') or instruction.opcode in hlo.CONTROL:
    return None
  for candidate in (instruction, *module.inside(instruction)):
    if candidate.opcode.removesuffix('-start') in SENT:
      return candidate
  return None


def _end(sequence: tuple[Instruction, ...], start: int) -> int:
  """Where the collective that starts there is waited for; itself where nothing may run meanwhile."""
  waiting = {sequence[start].name}
  for at in range(start + 1, len(sequence)):
    instruction = sequence[at]
    if waiting & set(instruction.operands):
      if instruction.opcode == 'get-tuple-element' or instruction.opcode.endswith('-update'):
        waiting.add(instruction.name)
      elif instruction.opcode.endswith('-done'):
        return at
      else:
        break
  return start


def _group(core: Instruction, devices: int) -> int:
  """Devices of each group of a collective, in any of the ways in which XLA writes them."""
  text = core.attributes
  if 'source_target_pairs' in text:
    return 2
  if found := re.search(r'replica_groups=\[\d+,(\d+)\]', text):
    return int(found[1])
  if found := re.search(r'replica_groups=mesh\[([^\]]*)\]\s*\{([^}]*)\}', text):
    sizes = dict(re.findall(r"'([^']+)'=(\d+)", found[1]))
    return math.prod(int(sizes[axis]) for axis in re.findall(r"'([^']+)'", found[2]))
  if found := re.search(r'replica_groups=\{\{([\d,]+)\}', text):
    return found[1].count(',') + 1
  return devices
