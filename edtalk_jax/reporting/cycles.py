"""Where the compiler expects the time to go: estimated cycles by kind of operation and by line of ours.

The sum is the time of a device that does one thing after the other, as a TPU core does. What the compiler reports as
its own total (`cost_analysis()['optimal_seconds']`) came out negative for whole steps, so it is not used.
"""

import collections
import dataclasses
import re
from collections.abc import Iterable

from edtalk_jax.reporting.hlo import Instruction, Module

PACKAGE = 'edtalk_jax/'
# A fusion is of the first kind that has an operation in it: matrix products decide, then what XLA cannot vectorise.
KINDS: tuple[tuple[str, frozenset[str]], ...] = (
  ('convolution', frozenset({'convolution', 'dot'})),
  ('scatter', frozenset({'scatter', 'select-and-scatter'})),
  ('gather', frozenset({'gather', 'dynamic-slice', 'dynamic-update-slice'})),
  ('sort', frozenset({'sort'})),
  ('reduction', frozenset({'reduce', 'reduce-window'})),
  (
    'elementwise',
    frozenset(
      {
        'add',
        'subtract',
        'multiply',
        'divide',
        'maximum',
        'minimum',
        'select',
        'compare',
        'exponential',
        'rsqrt',
        'sqrt',
        'tanh',
        'log',
        'power',
        'negate',
        'abs',
        'clamp',
        'logistic',
        'convert',
        'floor',
        'exponential-minus-one',
      }
    ),
  ),
)
WITHOUT_ESTIMATE = ('scatter', 'gather', 'sort', 'pad')
COPIES = 'copies and padding'  # nothing is computed: layouts, slices, padding, concatenation


@dataclasses.dataclass(frozen=True)
class Share:
  """Cycles of one kind of operation or one source."""

  name: str
  cycles: int
  count: int


def by_kind(module: Module) -> list[Share]:
  """Cycles by kind of operation, the most expensive first."""
  return _shares((_kind(module, i), i.cycles * times) for i, times in module.scheduled() if i.cycles)


def by_source(module: Module) -> list[Share]:
  """Cycles by the function of ours that an operation comes from, 'backward' where it belongs to a gradient.

  A fusion counts for the function that its result comes from, though its parts may come from several.
  """
  return _shares((_source(module, i), i.cycles * times) for i, times in module.scheduled() if i.cycles)


def without_estimate(module: Module) -> list[Share]:
  """Operations to which the compiler gives no cycles: lookups, scattered additions, sorts, padding by itself."""
  count = collections.Counter()
  for instruction, times in module.scheduled():
    opcodes = {instruction.opcode, *(inner.opcode for inner in module.inside(instruction))}
    if not instruction.cycles and (kind := next((kind for kind in WITHOUT_ESTIMATE if kind in opcodes), None)):
      count[kind] += times
  return [Share(kind, 0, number) for kind, number in count.most_common()]


def _shares(pairs: Iterable[tuple[str, int]]) -> list[Share]:
  total, count = collections.Counter(), collections.Counter()
  for name, cycles in pairs:
    total[name] += cycles
    count[name] += 1
  return [Share(name, cycles, count[name]) for name, cycles in total.most_common()]


def _kind(module: Module, instruction: Instruction) -> str:
  opcodes = {instruction.opcode, *(inner.opcode for inner in module.inside(instruction))}
  return next((kind for kind, members in KINDS if opcodes & members), COPIES)


def _source(module: Module, instruction: Instruction) -> str:
  name = instruction.op_name
  backward = ' (backward)' if 'transpose(' in name or 'backward' in name else ''
  for frame in module.stack(instruction.frame):
    _, package, path = frame.file.rpartition(PACKAGE)
    if package:
      return f'{path.removesuffix(".py")} {_plain(frame.function)}{backward}'
  return 'unknown'


def _plain(function: str) -> str:
  return re.sub(r'<locals>\.|\.<lambda>', '', function)
