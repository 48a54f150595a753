"""The training stages: data about what trains, on which examples, with which losses. `training` runs them all."""

import types
from collections.abc import Callable

from edtalk_jax.config import Config, ModelConfig, UserError
from edtalk_jax.stages import (
  audio_to_mouth,
  audio_to_pose,
  expression,
  mouth_pose,
  personalize,
  reconstruction,
  semantic_expression,
  sync_expert,
)
from edtalk_jax.stages.stage import Stage

# A stage is added here and in its own file: TRAINABLE, build(config) and model_config(model).
STAGES = {
  'reconstruction': reconstruction,
  'mouth_pose': mouth_pose,
  'expression': expression,
  'sync_expert': sync_expert,
  'audio_to_mouth': audio_to_mouth,
  'audio_to_pose': audio_to_pose,
  'semantic_expression': semantic_expression,
  'personalize': personalize,
}


def build(config: Config) -> Stage:
  """Returns the stage that `config.run.stage` names, over networks of `config`'s sizes.

  Raises:
    UserError: if there is no such stage, or the configuration does not fit it.
  """
  module = _module(config)
  if config.run.train not in module.TRAINABLE:
    expected = ', '.join(module.TRAINABLE)
    raise UserError(f'run.train={config.run.train}: stage {config.run.stage} trains one of {expected}')
  build_stage: Callable[[Config], Stage] = module.build
  return build_stage(config)


def model_config(config: Config) -> ModelConfig:
  """Returns the model that the stage trains: `config.model`, or the part of it that exists before later stages."""
  return _module(config).model_config(config.model)


def _module(config: Config) -> types.ModuleType:
  if config.run.stage not in STAGES:
    raise UserError(f'run.stage={config.run.stage}: expected one of {", ".join(STAGES)}')
  return STAGES[config.run.stage]


__all__ = ['STAGES', 'Stage', 'build', 'model_config']
