"""The whole chain at the size of `configs/tiny.py`: 64 pixels, two CPU cores, 800 clips of 400 rendered people.

    edtalk make-synthetic --clips 800 --identities 400 --frames 40 --framing 1.35 --articulation 1.6 --prosody 1 \\
      --out records
    edtalk train-all --config configs/tiny_chain.py --data records --out runs/tiny
"""

import dataclasses

from configs import tiny
from edtalk_jax.chain import Chain
from edtalk_jax.config import CheckpointConfig, Config, FlowConfig, LogConfig, SemanticConfig


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


def _motion_run(stage: str, steps: int, learning_rate: float, batch_size: int, **groups) -> Config:
  """A stage without pictures, which learns from motion weights: plain Adam, small steps, many examples."""
  config = _run(stage, steps, learning_rate, **groups)
  return dataclasses.replace(
    config,
    optimizer=dataclasses.replace(config.optimizer, beta1=0.9, beta2=0.999, generator_every=0, clip=1.0),
    data=dataclasses.replace(config.data, batch_size=batch_size),
  )


RUNS = (
  _run('reconstruction', 1000),
  _run('mouth_pose', 2500),
  _run('expression', 800, 0.004),
  _motion_run('audio_to_pose', 1500, 0.002, 32, flow=FlowConfig(frames=40, hidden=32, layers=3, condition=32)),
  _motion_run('semantic_expression', 1000, 0.001, 32, semantic=SemanticConfig(width=128)),
)


def get_config() -> Chain:
  """Its steps add up to less than 90 minutes."""
  return Chain(RUNS)
