"""Runs of the toy stage, in this process and in others."""

import dataclasses
import functools

import jax
import pytest

from data_pipeline.datasets import synthetic
from data_pipeline.synthetic.clip import Plan
from edtalk_jax.config import MeshConfig
from edtalk_jax.training import run, sharding
from tests.faults import toy, toy_train


@pytest.fixture(scope='session')
def heads(tmp_path_factory):
  """Records of rendered heads, the smallest with all splits."""
  folder = tmp_path_factory.mktemp('heads') / 'records'
  synthetic.make(Plan(clips=6, size=32, seed=0, people=3, frames=10), str(folder), workers=0)
  return folder


@pytest.fixture
def train_here(heads, monkeypatch):
  """Trains the toy stage in this process: (workdir, steps, devices, fsdp) -> lines it says."""

  def train(workdir, steps, devices=1, fsdp=1):
    said = []
    config = toy_train.get_config()
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, steps=steps), mesh=MeshConfig(fsdp=fsdp))
    some = functools.partial(sharding.make_mesh, devices=jax.devices()[:devices])
    with monkeypatch.context() as patch:
      patch.setattr(run.sharding, 'make_mesh', some)
      patch.setattr(run.stages, 'build', lambda config: toy.stage())
      run.train(config, str(workdir), str(heads), say=said.append)
    return said

  return train


@pytest.fixture
def toy_command(heads):
  """Words of the toy's training command: (workdir, steps) -> words."""
  script = 'tests/faults/toy_train.py'
  return lambda workdir, steps, *more: (
    script,
    '--config',
    script,
    '--data',
    heads,
    '--workdir',
    workdir,
    '--steps',
    steps,
    *more,
  )
