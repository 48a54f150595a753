"""Runs that were never trained, in folders as `train.py` leaves them."""

import functools
import pathlib
from typing import Any

import jax

from edtalk_jax import stages
from edtalk_jax.config import Config
from edtalk_jax.training import checkpoint, record


@functools.cache
def params(config: Config, seed: int = 0) -> dict[str, Any]:
  """The parameters of the model that a stage trains, as they are before the first step."""
  return jax.jit(lambda key: stages.build(config).init(key)['model'])(jax.random.key(seed))


def save(folder: pathlib.Path, config: Config, seed: int = 0, step: int = 0) -> str:
  """Writes a run with one checkpoint; returns its folder."""
  about = {'stage': config.run.stage, 'start_from': None, 'data': {'path': None, 'fingerprint': 'none'}, 'began': 0.0}
  content = record.describe(config, about)
  checkpoint.write(folder, content, {'model': params(config, seed)}, step)
  record.write(folder, content)
  return str(folder)
