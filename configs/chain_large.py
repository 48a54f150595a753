"""The chain at full size for many devices: `configs/chain.py` with batches that are eight times as large.

The square-root rule keeps what Adam sees in as many examples (docs/training.md#large-batches); as many examples are
seen in an eighth of the steps, and as many between two checkpoints, validations and sample grids. Not tried at this
size yet.
"""

import dataclasses

from configs import chain
from edtalk_jax.chain import Chain
from edtalk_jax.config import Config

FACTOR = 8
WARM_UP = 500  # steps at most, and a twentieth of a run


def get_config() -> Chain:
  """A TPU slice or several GPUs; `data.batch_size` must be a multiple of their number."""
  return Chain(tuple(_larger(config) for config in chain.get_config().runs))


def _larger(config: Config) -> Config:
  batch, steps = config.data.batch_size, -(-config.run.steps // FACTOR)
  rarer = lambda group, *names: dataclasses.replace(
    group, **{name: -(-getattr(group, name) // FACTOR) for name in names}
  )
  return dataclasses.replace(
    config,
    run=dataclasses.replace(config.run, steps=steps),
    data=dataclasses.replace(config.data, batch_size=FACTOR * batch),
    optimizer=dataclasses.replace(
      config.optimizer, scale_rule='sqrt', base_batch=batch, warmup_steps=min(WARM_UP, steps // 20)
    ),
    log=rarer(config.log, 'samples_every'),
    checkpoint=rarer(config.checkpoint, 'every'),
  )
