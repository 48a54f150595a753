"""Reads the text of a compiled XLA program: instructions in the order in which they are scheduled."""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_BYTES = {'pred': 1, 's4': 0.5, 'u4': 0.5, 'bf16': 2, 'f16': 2}  # other types end with their number of bits
_ARRAY = re.compile(r'\b(pred|bf16|[sufc]\d+)(?:e\dm\d\w*)?\[([\d,]*)\]')
_COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.\-]+) \(.*\{$')
_INSTRUCTION = re.compile(r'^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$')
_CALLED = re.compile(r'\b(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)')
_BRANCHES = re.compile(r'branch_computations=\{([^}]*)\}')
_TABLE_ROW = re.compile(r'^(\d+) (.*)$')
_NUMBER = re.compile(r'(\w+)=(\d+)')
CONTROL = ('while', 'conditional', 'call')  # whose computations run as sequences of their own
_TABLES = ('FileNames', 'FunctionNames', 'FileLocations', 'StackFrames')


@dataclasses.dataclass(frozen=True)
class Frame:
  """A line of Python that an instruction comes from."""

  file: str
  function: str
  line: int


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of the program.

  Attributes:
    name: unique within the program.
    opcode: such as 'fusion' or 'all-reduce-start'.
    shape: text of the result's type.
    arguments: text between its parentheses: what it reads, or a constant's value.
    called: names of computations: a fusion's content, a loop's condition and body, branches, what reduces.
    attributes: the rest of the line.
  """

  name: str
  opcode: str
  shape: str
  arguments: str
  called: tuple[str, ...]
  attributes: str

  @property
  def operands(self) -> list[str]:
    """Names of the instructions that it reads."""
    return re.findall(r'%([\w.\-]+)', self.arguments)

  @property
  def cycles(self) -> int:
    """The compiler's estimate; 0 where it gives none."""
    found = re.search(r'"estimated_cycles":"(\d+)"', self.attributes)
    return int(found[1]) if found else 0

  @property
  def op_name(self) -> str:
    """The path of JAX's primitive, such as 'jit(train_step)/transpose(jvp(EDTalk))/...'; '' where unknown."""
    found = re.search(r'op_name="([^"]*)"', self.attributes)
    return found[1] if found else ''

  @property
  def frame(self) -> int:
    """Number of its stack frame, 0 where unknown."""
    found = re.search(r'stack_frame_id=(\d+)', self.attributes)
    return int(found[1]) if found else 0


@dataclasses.dataclass(frozen=True)
class Module:
  """A compiled program.

  Attributes:
    computations: their instructions, in the order in which they run.
    entry: name of the computation that runs first.
    tables: rows of the tables of source lines, by table and number.
  """

  computations: dict[str, tuple[Instruction, ...]]
  entry: str
  tables: dict[str, dict[int, str]]

  def stack(self, frame: int) -> list[Frame]:
    """The Python lines of a stack frame, innermost first."""
    files, functions, locations, frames = (self.tables[name] for name in _TABLES)
    found = []
    while frame in frames:
      row = _numbers(frames[frame])
      place = _numbers(locations[row['file_location_id']])
      found.append(
        Frame(
          file=files[place['file_name_id']].strip('"'),
          function=functions[place['function_name_id']].strip('"'),
          line=place['line'],
        )
      )
      if row['parent_frame_id'] == frame:
        break
      frame = row['parent_frame_id']
    return found

  def inside(self, instruction: Instruction) -> Iterator[Instruction]:
    """The instructions that a fusion (or a wrapped collective) is made of, at any depth."""
    for name in instruction.called:
      for inner in self.computations.get(name, ()):
        yield inner
        yield from self.inside(inner)

  def scheduled(self, computation: str | None = None, times: int = 1) -> Iterator[tuple[Instruction, int]]:
    """What runs one after the other, and how often: loops and branches are entered, fusions are not.

    Of a conditional every branch counts, as if all ran.
    """
    for instruction in self.computations[computation or self.entry]:
      yield instruction, times
      if instruction.opcode in CONTROL:
        for name in instruction.called:
          yield from self.scheduled(name, times * self.trips(instruction))

  def trips(self, instruction: Instruction) -> int:
    """How often a loop runs; 1 for what is no loop, and where neither the compiler nor the condition says it.

    JAX counts its loops from 0 in steps of 1 while the counter is less than a constant.
    """
    if instruction.opcode != 'while':
      return 1
    if found := re.search(r'"known_trip_count":\{"n":"(\d+)"\}', instruction.attributes):
      return int(found[1])
    inside = {inner.name: inner for name in instruction.called for inner in self.computations[name]}
    ends = [
      i
      for i in inside.values()
      if i.opcode == 'compare'
      and 'direction=LT' in i.attributes
      and inside.get(i.operands[0], i).opcode == 'get-tuple-element'
    ]
    limits = [inside[i.operands[1]] for i in ends if i.operands[1] in inside]
    constants = [int(i.arguments) for i in limits if i.opcode == 'constant']
    return constants[0] if len(constants) == 1 else 1


def parse(text: str) -> Module:
  """Reads a program, as `jax.stages.Compiled.as_text()` gives it.

  Raises:
    ValueError: if it has no entry computation.
  """
  computations: dict[str, tuple[Instruction, ...]] = {}
  tables: dict[str, dict[int, str]] = {name: {} for name in _TABLES}
  entry, table, name, body = '', '', '', []
  for line in text.splitlines():
    if line in _TABLES:
      table = line
    elif table and (row := _TABLE_ROW.match(line)):
      tables[table][int(row[1])] = row[2]
    elif head := _COMPUTATION.match(line):
      table, name, body = '', head[2], []
      entry = name if head[1] else entry
    elif line == '}':
      computations[name] = tuple(body)
    elif name and (found := _INSTRUCTION.match(line)):
      body.append(_instruction(found[1], found[2]))
  if not entry:
    raise ValueError('not an HLO module: it has no ENTRY computation')
  return Module(computations=computations, entry=entry, tables=tables)


def size(shape: str) -> float:
  """Bytes of a type, the sum over the arrays of a tuple: 'bf16[8,128]{1,0}' has 2048. Padding is not counted."""
  return sum(_width(kind) * math.prod(map(int, filter(None, dims.split(',')))) for kind, dims in _ARRAY.findall(shape))


def arrays(shape: str) -> list[str]:
  """The array types of a tuple type, in order; those of another type are a list of one."""
  return [f'{found[1]}[{found[2]}]' for found in _ARRAY.finditer(shape)]


def _width(kind: str) -> float:
  return _BYTES[kind] if kind in _BYTES else int(kind[1:]) / 8


@functools.cache
def _numbers(row: str) -> dict[str, int]:
  return {key: int(value) for key, value in _NUMBER.findall(row)}


def _instruction(name: str, text: str) -> Instruction:
  end = _closing(text, 0) + 1 if text.startswith('(') else text.index(' ')
  opcode, _, rest = text[end:].lstrip().partition('(')
  close = _closing('(' + rest, 0) - 1
  attributes = rest[close + 1 :]
  called = _CALLED.findall(attributes)
  for branches in _BRANCHES.findall(attributes):
    called += [branch.strip().lstrip('%') for branch in branches.split(',')]
  return Instruction(
    name=name, opcode=opcode, shape=text[:end], arguments=rest[:close], called=tuple(called), attributes=attributes
  )


def _closing(text: str, start: int) -> int:
  """Where the parenthesis that opens at `start` is closed."""
  depth = 0
  for at in range(start, len(text)):
    depth += (text[at] == '(') - (text[at] == ')')
    if not depth:
      return at
  raise ValueError(f'no closing parenthesis in {text[:80]!r}')
