"""python -m tests.mutants: applies the faults of `faults.py` one at a time, and fails if the tests miss any."""

import sys

from tests.mutants import runner

if __name__ == '__main__':
  sys.exit(runner.main(sys.argv[1:]))
