"""The whole chain at the size of `configs/tiny.py`: 64 pixels, two CPU cores, 800 clips of 400 rendered people.

    edtalk make-synthetic --clips 800 --identities 400 --frames 40 --framing 1.35 --articulation 1.6 --out records
    edtalk train-all --config configs/tiny_chain.py --data records --out runs/tiny
"""

import dataclasses

from configs import tiny
from edtalk_jax.chain import Chain
from edtalk_jax.config import CheckpointConfig, Config, LogConfig


def _run(stage: str, steps: int, learning_rate: float = 0.008, **groups) -> Config:
  """`configs/tiny.py` with another stage; the learning rate falls to zero over the run."""
  config = tiny.get_config()
  return dataclasses.replace(
    config,
    run=dataclasses.replace(config.run, stage=stage, steps=steps),
    optimizer=dataclasses.replace(config.optimizer, learning_rate=learning_rate, decay_steps=steps),
    log=LogConfig(every=20, samples_every=500, validate_batches=8),
    checkpoint=CheckpointConfig(every=500),
    **groups,
  )


RUNS = (
  _run('reconstruction', 1000),
  _run('mouth_pose', 2500),
  _run('expression', 800, 0.004),
)


def get_config() -> Chain:
  """Its steps add up to less than 90 minutes."""
  return Chain(RUNS)
