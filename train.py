"""Trains one stage of EDTalk; the same command as `edtalk train`.

python train.py --config configs/tiny.py --workdir runs/first --data records
"""

import tyro

from edtalk_jax.cli import train
from edtalk_jax.terminal import run_main

if __name__ == '__main__':
  run_main(lambda: tyro.cli(train, prog='train.py'))
