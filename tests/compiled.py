"""Stages of `tiny.config`s and their programs, built and compiled once in a process for all tests that ask for them.

All are keyed by the configuration: the stage and its switches. Loss weights that only scale terms are inputs of
`losses`, so that one program serves all of them.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from edtalk_jax import stages
from edtalk_jax.config import Config, MeshConfig
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import programs, sharding
from edtalk_jax.training.programs import Programs

Arrays = Mapping[str, Any]


@functools.cache
def stage(config: Config) -> Stage:
  """The stage of a configuration."""
  return stages.build(config)


@functools.cache
def params(config: Config) -> dict[str, Any]:
  """Its fresh parameters {'model', 'discriminator'}, on the host; not to be changed in place."""
  return jax.device_get(jax.jit(stage(config).init)(jax.random.key(0)))


@functools.cache
def frozen(config: Config) -> Any:
  """Its parameters that never train, on the host."""
  return jax.device_get(stage(config).init_frozen())


@functools.cache
def losses(config: Config) -> Callable[..., tuple[dict, dict]]:
  """(batch, **weights) -> (terms, images) of `Stage.model_losses` at the fresh parameters, as host arrays.

  `weights` are fields of LossConfig that stand in for those of `config`. They are inputs of the program: of stage
  mouth_pose l1, perceptual, cross, mouth_space, pose_space. (What a stage asks of a weight in Python, such as whether
  it is zero, is a switch, which belongs into `config`.)
  """

  @jax.jit
  def run(weights, model, discriminator, frozen, batch):
    weighted = dataclasses.replace(config, loss=dataclasses.replace(config.loss, **weights))
    return stages.build(weighted).model_losses(model, discriminator, frozen, batch)

  def of_batch(batch: Arrays, **weights: float):
    drawn = params(config)
    weights = {name: np.float32(value) for name, value in weights.items()}
    return jax.device_get(run(weights, drawn['model'], drawn['discriminator'], frozen(config), batch))

  scaled = {'l1': config.loss.l1, 'cross': config.loss.cross} if config.run.stage == 'mouth_pose' else {}
  return lambda batch, **weights: of_batch(batch, **{**scaled, **weights})


@functools.cache
def on_one_device(config: Config) -> Programs:
  """The programs of a run on one device."""
  return programs.build(config, stage(config), sharding.make_mesh(MeshConfig(), jax.devices()[:1]))
