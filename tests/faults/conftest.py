"""Runs of the toy stage, in this process and in others."""

import dataclasses

import jax
import pytest

from edtalk_jax.config import MeshConfig
from edtalk_jax.training import train
from tests.faults import toy_train


@pytest.fixture
def train_here(heads):
  """Trains the toy stage in this process: (workdir, steps, devices, fsdp) -> lines of the log."""

  def run(workdir, steps, devices=1, fsdp=1):
    said = []
    config = toy_train.get_config()
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, steps=steps), mesh=MeshConfig(fsdp=fsdp))
    train.train(config, str(workdir), str(heads), say=said.append, devices=jax.devices()[:devices])
    return said

  return run


@pytest.fixture
def toy_command(heads):
  """Words of the toy's training command: (workdir, steps) -> words."""
  script = 'tests/faults/toy_train.py'
  return lambda workdir, steps, *more: (
    *(script, '--config', script, '--data', heads, '--workdir', workdir, '--steps', steps),
    *more,
  )
