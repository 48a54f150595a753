"""The seeded faults fit the source, and the runner says what became of one; make test-release tries them all."""

import pathlib

import pytest

from tests.mutants import runner
from tests.mutants.faults import FAULTS, Fault

PACKAGES = (
  *(f'edtalk_jax/{name}' for name in (
    'ops', 'networks', 'stages', 'training', 'evaluation', 'animation', 'weights', 'exchange', 'chain', 'reporting',
    'reproduction', 'web',
  )),
  *(f'edtalk_jax/{name}.py' for name in (
    'storage', 'model', 'inference', 'listening', 'settings', 'config', 'cli', 'terminal',
  )),
  *(f'data_pipeline/{name}' for name in ('quality', 'synthetic', 'datasets', 'trees')),
  'launch',
)  # fmt: skip


@pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: fault.name)
def test_a_fault_changes_one_place_and_names_tests_that_there_are(fault):
  changed = runner.mutated(fault, (runner.ROOT / fault.file).read_text(encoding='utf-8'))
  compile(changed, fault.file, 'exec')
  assert fault.old != fault.new
  assert fault.tests and all((runner.ROOT / test).exists() for test in fault.tests)


def test_there_are_many_faults_in_every_package():
  assert len(FAULTS) >= 50
  assert len({fault.name for fault in FAULTS}) == len(FAULTS)
  assert [package for package in PACKAGES if not any(fault.file.startswith(package) for fault in FAULTS)] == []
  modules = [fault for fault in FAULTS if pathlib.PurePath(fault.file).parent.as_posix() == 'data_pipeline']
  assert len({fault.file for fault in modules}) >= 5


def test_an_old_text_that_is_not_there_once_is_an_error():
  fault = Fault('twice', 'some.py', 'a', 'b', ('tests',))
  for text in ('c', 'aa'):
    with pytest.raises(ValueError, match='expected once'):
      runner.mutated(fault, text)


@pytest.mark.parametrize(
  'code, output, expected',
  [
    (0, '3 passed', (runner.SURVIVED, '')),
    (1, 'FAILED tests/a.py::test_b[x - y] - assert 1 - 2\n', (runner.CAUGHT, 'tests/a.py::test_b[x - y]')),
    (1, 'ERROR tests/a.py::test_b\n', (runner.CAUGHT, 'tests/a.py::test_b')),
    (2, 'ERROR tests/a.py - SyntaxError\n', (runner.ERROR, 'ERROR tests/a.py - SyntaxError')),
    (5, '', (runner.ERROR, 'no test of `make test` is in these files')),
    (None, '', (runner.ERROR, 'the tests took too long')),
  ],
)
def test_only_a_test_that_fails_catches_a_fault(code, output, expected):
  assert runner.verdict(code, output) == expected


@pytest.fixture
def tree(tmp_path):
  """A project of one function and its test."""
  copy = tmp_path / 'copy'
  (copy / 'thing').mkdir(parents=True)
  (copy / 'thing' / '__init__.py').write_text('def twice(x):\n  return 2 * x\n')
  (copy / 'test_thing.py').write_text('import thing\n\n\ndef test_twice():\n  assert thing.twice(3) == 6\n')
  runner.check_imports(copy, ['thing'])
  return copy


@pytest.mark.parametrize(
  'new, expected', [('3 * x', runner.CAUGHT), ('x + x', runner.SURVIVED), ('1 +* x', runner.ERROR)]
)
def test_a_fault_is_tried_on_a_copy_that_is_restored(tree, new, expected):
  before = (tree / 'thing' / '__init__.py').read_text()
  result = runner.attempt(Fault('fault', 'thing/__init__.py', '2 * x', new, ('test_thing.py',)), tree, timeout=60)
  assert result.verdict == expected
  assert (tree / 'thing' / '__init__.py').read_text() == before


def test_packages_of_another_folder_are_refused(tree):
  with pytest.raises(RuntimeError, match='would be tested'):
    runner.check_imports(tree, ['json'])
