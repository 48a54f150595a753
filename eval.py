"""Measures a trained model on held-out clips and writes a report: `python eval.py --workdir RUN --data RECORDS`.

The command line is that of `edtalk eval`; docs/evaluation.md defines every number.
"""

import tyro

from edtalk_jax.cli import evaluate
from edtalk_jax.terminal import run_main

if __name__ == '__main__':
  run_main(lambda: tyro.cli(evaluate, prog='eval.py'))
