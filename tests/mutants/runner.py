"""Applies faults to copies of the working tree and runs the tests that should catch them.

Each job has a copy of its own, so the working tree is never touched. A fault counts as caught only if a test fails:
files that cannot be collected and runs that take too long are errors. At the end all tests that caught a fault run once
on an unchanged copy, where they have to pass.
"""

import argparse
import contextlib
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from tests.mutants.faults import FAULTS, Fault

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ('edtalk_jax', 'data_pipeline', 'launch', 'configs', 'tests')
CAUGHT, SURVIVED, ERROR = 'caught', 'SURVIVED', 'ERROR'
_FAILED = re.compile(r'^(?:FAILED|ERROR) (\S+?::\w+(?:\[.*?\])?)(?= - |$)', re.MULTILINE)


class Result(NamedTuple):
  """What became of a fault: one of CAUGHT, SURVIVED and ERROR, the test that failed or the reason, and seconds."""

  fault: Fault
  verdict: str
  what: str
  seconds: float

  def __str__(self) -> str:
    return f'{self.verdict:<8}  {self.fault.name:<40}  {self.seconds:5.0f} s  {self.what}'


def mutated(fault: Fault, text: str) -> str:
  """Returns the text of a file with the fault in it. Raises ValueError unless the old text occurs exactly once."""
  if (count := text.count(fault.old)) != 1:
    raise ValueError(f'{fault.name}: {fault.file} holds the old text {count} times, expected once')
  return text.replace(fault.old, fault.new)


def copy_tree(target: pathlib.Path) -> None:
  """Copies the files that Git tracks, or would."""
  listed = subprocess.run(
    ['git', 'ls-files', '-co', '--exclude-standard', '-z'], cwd=ROOT, check=True, capture_output=True, text=True
  )
  for name in filter(None, listed.stdout.split('\0')):
    if (ROOT / name).is_file():  # not one that is deleted and not committed yet
      (target / name).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(ROOT / name, target / name)


def check_imports(copy: pathlib.Path, packages: Sequence[str] = PACKAGES) -> None:
  """Raises RuntimeError unless Python, and what it starts, imports the packages from `copy`."""
  code = f'import {", ".join(packages)}; print(*(m.__file__ for m in ({", ".join(packages)},)), sep="\\n")'
  done = subprocess.run(
    [sys.executable, '-c', code], cwd=copy.parent, env=_environment(copy), check=True, capture_output=True, text=True
  )
  if wrong := [path for path in done.stdout.split() if not pathlib.Path(path).is_relative_to(copy)]:
    raise RuntimeError(f'{wrong[0]} would be tested, expected {copy}')


def _environment(copy: pathlib.Path) -> dict[str, str]:
  return {**os.environ, 'PYTHONPATH': str(copy)}


def pytest(copy: pathlib.Path, tests: Sequence[str], timeout: float, *options: str) -> tuple[int | None, str]:
  """Runs tests in one process; returns the exit code, None if they took too long, and the output."""
  command = [sys.executable, '-m', 'pytest', '-q', '-n', '0', '-m', 'not release', '-p', 'no:cacheprovider', *options]
  with subprocess.Popen(
    [*command, f'--basetemp={copy.parent / "tmp"}', *tests],
    cwd=copy,
    env=_environment(copy),
    text=True,
    errors='replace',
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    start_new_session=True,
  ) as process:
    try:
      output, _ = process.communicate(timeout=timeout)
      return process.returncode, output
    except subprocess.TimeoutExpired:
      return None, ''
    finally:
      with contextlib.suppress(ProcessLookupError):  # and whatever the tests have left running
        os.killpg(process.pid, signal.SIGKILL)


def verdict(code: int | None, output: str) -> tuple[str, str]:
  """Returns the verdict on a run with `pytest -x`, and the test that failed or the reason."""
  failed = _FAILED.search(output)
  match code:
    case 0:
      return SURVIVED, ''
    case 1 if failed:
      return CAUGHT, failed[1]
    case 5:
      return ERROR, 'no test of `make test` is in these files'
    case None:
      return ERROR, 'the tests took too long'
  return ERROR, ' '.join(output.split())[-300:]


def attempt(fault: Fault, copy: pathlib.Path, timeout: float) -> Result:
  """Applies one fault to a copy, runs its tests, and restores the copy."""
  path, started = copy / fault.file, time.monotonic()
  original = path.read_text(encoding='utf-8')
  try:
    _write(path, mutated(fault, original))
    found = verdict(*pytest(copy, fault.tests, timeout, '-x'))
  finally:
    _write(path, original)
  return Result(fault, *found, time.monotonic() - started)


def _write(path: pathlib.Path, text: str) -> None:
  """Writes a source file without leaving bytecode of the old one: Python compares whole seconds and sizes only."""
  path.write_text(text, encoding='utf-8')
  for compiled in path.parent.glob(f'__pycache__/{path.stem}.*.pyc'):
    compiled.unlink()


def run(faults: Sequence[Fault], jobs: int, timeout: float, folder: pathlib.Path) -> list[Result]:
  """Tries all faults, `jobs` at a time, and prints a line for each as soon as it is known."""
  waiting: queue.SimpleQueue[Fault] = queue.SimpleQueue()
  for fault in faults:
    waiting.put(fault)
  results: list[Result] = []

  def work(job: int) -> None:
    copy = folder / str(job) / 'copy'
    copy_tree(copy)
    check_imports(copy)
    with contextlib.suppress(queue.Empty):
      while True:
        fault = waiting.get_nowait()
        try:
          result = attempt(fault, copy, timeout)
        except Exception as error:  # one fault that cannot be tried is no reason to lose the others
          result = Result(fault, ERROR, f'{type(error).__name__}: {error}', 0.0)
        results.append(result)
        print(result, flush=True)

  threads = [threading.Thread(target=work, args=(job,)) for job in range(jobs)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  return results


def failing_anyway(results: Sequence[Result], timeout: float, folder: pathlib.Path) -> list[str]:
  """Returns those tests that caught a fault, but also fail without one."""
  tests = sorted({result.what for result in results if result.verdict == CAUGHT})
  if not tests:
    return []
  copy = folder / 'unchanged' / 'copy'
  copy_tree(copy)
  check_imports(copy)
  code, output = pytest(copy, tests, timeout)
  found = [match[1] for match in _FAILED.finditer(output)]
  return found if code in (0, 1) else [*found, f'exit code {code}: {" ".join(output.split())[-300:]}']


def main(arguments: Sequence[str]) -> int:
  """Entry point; returns the exit code, 1 unless every fault is caught."""
  parser = argparse.ArgumentParser(prog='python -m tests.mutants', description=__doc__.splitlines()[0])
  parser.add_argument('--jobs', type=int, default=2, help='faults that are tried at the same time (default: 2)')
  parser.add_argument('--only', nargs='+', metavar='NAME', help='names of faults, or beginnings of their files')
  parser.add_argument('--timeout', type=float, default=400, help='seconds for the tests of a fault (default: 400)')
  parser.add_argument('--list', action='store_true', help='print the faults and run nothing')
  parser.add_argument('--unconfirmed', action='store_true', help='do not run the tests on an unchanged copy at the end')
  options = parser.parse_args(arguments)
  chosen = [f for f in FAULTS if not options.only or f.name in options.only or f.file.startswith(tuple(options.only))]
  if not chosen:
    parser.error(f'--only {" ".join(options.only)}: no such fault; --list shows them')
  if options.list:
    for fault in chosen:
      print(f'{fault.name:<40}  {fault.file}')
    return 0
  for fault in chosen:  # before minutes are spent on the others
    mutated(fault, (ROOT / fault.file).read_text(encoding='utf-8'))
  started = time.monotonic()
  with tempfile.TemporaryDirectory(prefix='mutants-') as name:
    folder = pathlib.Path(name).resolve()
    results = run(chosen, options.jobs, options.timeout, folder)
    anyway = [] if options.unconfirmed else failing_anyway(results, 3 * options.timeout, folder)
  counts = ', '.join(f'{sum(r.verdict == kind for r in results)} {kind}' for kind in (CAUGHT, SURVIVED, ERROR))
  print(f'{len(results)} faults in {(time.monotonic() - started) / 60:.1f} min: {counts}')
  for result in results:
    if result.verdict != CAUGHT:
      print(result)
  for test in anyway:
    print(f'fails without any fault, too: {test}')
  return 0 if not anyway and all(result.verdict == CAUGHT for result in results) else 1
