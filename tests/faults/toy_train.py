"""train.py with the toy stage, as a command that tests can start, signal and kill; its own configuration file, too."""

import dataclasses

import tyro

from edtalk_jax import cli
from edtalk_jax.config import CheckpointConfig, Config, DataConfig, LogConfig
from edtalk_jax.terminal import run_main
from tests.faults import toy


def get_config() -> Config:
  """Logs every step, saves every fifth."""
  return dataclasses.replace(
    toy.CONFIG,
    data=DataConfig(batch_size=8, workers=0),
    log=LogConfig(every=1, samples_every=0, validate_batches=1),
    checkpoint=CheckpointConfig(every=5, keep=2),
  )


if __name__ == '__main__':
  run_main(lambda: tyro.cli(cli.train, prog='toy_train.py'))
