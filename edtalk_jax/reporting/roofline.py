"""A floor under the time of a step, from shapes alone: no compiler, any chip whose peaks are known.

Each convolution and matrix product takes as long as its arithmetic at the chip's peak or its arrays at the speed of its
memory, whichever is longer (Williams et al., Roofline, 2009). All else is taken to be fused into them, at no cost. A
program comes near this floor only as far as its element-by-element passes really are hidden.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.extend.core

from edtalk_jax.chips import Chip
from edtalk_jax.training import flops


@dataclasses.dataclass(frozen=True)
class Floor:
  """What the products of a program need on one device.

  Attributes:
    flops: operations.
    size: bytes read and written.
    seconds: the sum of each product's longer one.
    memory_bound: share of `seconds` in products that wait for memory.
  """

  flops: int
  size: int
  seconds: float
  memory_bound: float


def floor(jaxpr: Any, chip: Chip, devices: int = 1) -> Floor:
  """The floor of a program over `devices` devices that divide its products evenly."""
  operations, size, seconds, waiting = 0, 0, 0.0, 0.0
  for equation, times in flops.products(jaxpr, chip.platform):
    arrays = [variable.aval for variable in (*equation.invars, *equation.outvars)]
    compute = times * flops.operations(equation) / devices / _peak(chip, arrays)
    moved = times * sum(_bytes(array) for array in arrays) / devices
    operations += times * flops.operations(equation)
    size += moved
    seconds += max(compute, moved / chip.bandwidth)
    waiting += moved / chip.bandwidth if moved / chip.bandwidth > compute else 0.0
  return Floor(operations // devices, int(size), seconds, waiting / seconds if seconds else 0.0)


def _peak(chip: Chip, arrays: list[Any]) -> float:
  """GPUs multiply float32 as TF32, at half of bfloat16's speed; TPUs round it to bfloat16."""
  return chip.peak / 2 if chip.platform == 'cuda' and any(a.dtype == 'float32' for a in arrays[:2]) else chip.peak


def live_bytes(jaxpr: Any) -> int:
  """Largest sum of arrays that a program holds at a time, running as written with nothing fused or recomputed.

  Compilers fuse and reorder, so that theirs is usually smaller: an estimate for machines without a compiler here.
  """
  inner = getattr(jaxpr, 'jaxpr', jaxpr)
  last = {}
  for at, equation in enumerate(inner.eqns):
    last.update({variable: at for variable in equation.invars if isinstance(variable, jax.extend.core.Var)})
  kept = {v for v in inner.outvars if isinstance(v, jax.extend.core.Var)}
  held = sum(_bytes(v.aval) for v in {*inner.invars, *inner.constvars})
  most = held
  for at, equation in enumerate(inner.eqns):
    results = sum(_bytes(v.aval) for v in equation.outvars)
    within = max((live_bytes(j) - _outside(j) for j in flops.inner_jaxprs(equation.params)), default=0)
    most = max(most, held + max(results, within))
    held += results
    done = {v for v in equation.invars if isinstance(v, jax.extend.core.Var) and last[v] == at and v not in kept}
    done |= {v for v in equation.outvars if v not in last and v not in kept}
    held -= sum(_bytes(v.aval) for v in done)
  return most


def _outside(jaxpr: Any) -> int:
  """Bytes of a jaxpr's inputs, which its caller holds already."""
  inner = getattr(jaxpr, 'jaxpr', jaxpr)
  return sum(_bytes(v.aval) for v in {*inner.invars, *inner.constvars})


def _bytes(aval: Any) -> int:
  dtype = getattr(aval, 'dtype', None)
  return (
    0 if dtype is None or jax.dtypes.issubdtype(dtype, jax.dtypes.extended) else math.prod(aval.shape) * dtype.itemsize
  )
