"""Memory of a compiled step on each device, its traffic with it, and the largest batch that fits."""

import dataclasses
import re
from typing import Any

from edtalk_jax.reporting import hlo


@dataclasses.dataclass(frozen=True)
class Memory:
  """Bytes on each device.

  Attributes:
    arguments: state, frozen parameters and batch.
    temporaries: at their peak.
    other: results that do not take an argument's place, and the program itself.
    limit: what the device has.
  """

  arguments: int
  temporaries: int
  other: int
  limit: int

  @property
  def peak(self) -> int:
    """All of it."""
    return self.arguments + self.temporaries + self.other

  @property
  def fits(self) -> bool:
    """Whether the device has enough."""
    return self.peak <= self.limit


def of(compiled: Any, limit: float) -> Memory:
  """Reads the memory of a `jax.stages.Compiled`."""
  found = compiled.memory_analysis()
  results = found.output_size_in_bytes - found.alias_size_in_bytes
  return Memory(
    found.argument_size_in_bytes, found.temp_size_in_bytes, results + found.generated_code_size_in_bytes, int(limit)
  )


def traffic(compiled: Any, module: hlo.Module) -> float:
  """Bytes that a `jax.stages.Compiled` reads and writes, by the compiler's count, every turn of its loops among them.

  The compiler counts what is in a loop once. How much that leaves out is taken to be as much as of its cycles.
  """
  counted = (compiled.cost_analysis() or {}).get('bytes accessed', 0.0)
  scheduled = list(module.scheduled())
  once, every = sum(i.cycles for i, _ in scheduled), sum(i.cycles * times for i, times in scheduled)
  return counted * every / once if once else counted


def exhausted(message: str, arguments: int, limit: float) -> Memory | None:
  """Reads the compiler's refusal of a program that does not fit, or None.

  It says 'Used 19.20G of 15.75G hbm' or 'HLO temporaries (512.00G) exceeds available HBM (15.75G)'.
  """
  found = re.search(r'Used ([\d.]+)([KMGT]) of ([\d.]+)([KMGT])', message) or re.search(
    r'\(([\d.]+)([KMGT])\) exceeds available HBM \(([\d.]+)([KMGT])\)', message
  )
  if found is None:
    return None
  unit = {'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}
  used, has = float(found[1]) * unit[found[2]], float(found[3]) * unit[found[4]]
  return Memory(arguments, max(0, int(used) - arguments), 0, int(min(has, limit)))


def largest_batch(memories: dict[int, Memory], batch_bytes: int, fixed_temporaries: int) -> int:
  """Returns the largest batch for each device that fits, by a straight line through what was compiled.

  Memory grows by the same bytes with each example: its pictures and its activations. The line goes through two batches
  where two were compiled, else through one and what does not depend on the batch: the parameters' gradients.

  Args:
    memories: by batch for each device.
    batch_bytes: of one example's pictures.
    fixed_temporaries: bytes of gradients.
  """
  (first, memory), *more = sorted(memories.items())
  if more:
    last, other = more[-1]
    slope = (other.peak - memory.peak) / (last - first)
  else:
    slope = batch_bytes + max(0, memory.temporaries - fixed_temporaries) / first
  if slope <= 0:
    return max(memories)
  return max(0, int(first + (memory.limit - memory.peak) // slope))
