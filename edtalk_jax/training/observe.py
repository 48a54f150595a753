"""Looking into a run: steps under JAX's profiler, and the compiled step as text."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax

from edtalk_jax.config import UserError

FOLDER = 'profile'


@dataclasses.dataclass(frozen=True)
class Observe:
  """What to write besides the usual files of a run.

  Attributes:
    profile: first and last step of the profiler's window, if any.
    hlo: folder for the text of the train step, if any.
  """

  profile: tuple[int, int] | None = None
  hlo: str | None = None


NOTHING = Observe()


def window(text: str) -> tuple[int, int]:
  """Reads 'first:last'. Raises UserError."""
  first, _, last = text.partition(':')
  if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
    raise UserError(f'--profile {text}: expected FIRST:LAST, the first and last step of the window, e.g. 100:105')
  return int(first), int(last)


class Profile:
  """Traces a window of steps with jax.profiler, one trace for each process. Use as a context manager around the loop.

  A start of the run that resumes within the window traces what is left of it.
  """

  def __init__(self, steps: tuple[int, int] | None, workdir: pathlib.Path, say: Callable[[str], None]):
    self._steps = range(steps[0], steps[1] + 1) if steps else range(0)
    self._folder, self._say, self._began = workdir / FOLDER, say, 0

  def __enter__(self) -> 'Profile':
    return self

  def __exit__(self, *exception) -> None:
    if self._began:
      jax.profiler.stop_trace()

  @contextlib.contextmanager
  def step(self, number: int) -> Iterator[None]:
    """Marks the dispatch of a step; begins the trace with the first of the window."""
    if number in self._steps and not self._began:
      jax.profiler.start_trace(self._folder)
      self._began = number
    with jax.profiler.StepTraceAnnotation('train', step_num=number):
      yield

  def after(self, number: int, outputs: Any) -> None:
    """Ends the trace with the last step of the window, once the device is done with it."""
    if self._began and number == self._steps[-1]:
      jax.block_until_ready(outputs)
      jax.profiler.stop_trace()
      self._say(f'steps {self._began} to {number} are traced; open them: pip install xprof && xprof {self._folder}')
      self._began = 0


def write_hlo(folder: str, program: Any, *arguments: Any) -> tuple[pathlib.Path, pathlib.Path]:
  """Writes a jitted program, called with these arguments before, as it was traced and as XLA has compiled it."""
  lowered = program.lower(*arguments)
  texts = {'train_step.stablehlo.txt': lowered.as_text(), 'train_step.hlo.txt': lowered.compile().as_text()}
  paths = [pathlib.Path(folder) / name for name in texts]
  paths[0].parent.mkdir(parents=True, exist_ok=True)
  for path in paths:
    path.write_text(texts[path.name], encoding='utf-8')
  return tuple(paths)
