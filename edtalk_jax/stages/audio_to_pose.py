"""Stage 4: a normalising flow learns how heads move to speech (EDTalk, Sec. 3.4; docs/stages/audio_to_pose.md).

The official trainer was never released. The flow, its losses and sizes are ours, after what the paper says of them.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax.config import Config, FlowConfig, ModelConfig, UserError
from edtalk_jax.networks.audio import MEL_BANDS, MEL_COLUMNS
from edtalk_jax.networks.pose_flow import PoseFlow
from edtalk_jax.ops import flow
from edtalk_jax.stages.stage import Images, Params, Stage, Terms

BANK = 'pose'
POOL = 4  # mel bands, and columns, whose mean is heard
TRAINABLE = {'everything': '^flow/(?!mean$|deviation$|predictor$)'}  # these are the first batch's


def model_config(model: ModelConfig) -> ModelConfig:
  """The model whose pose weights are learned; no part of it is in this stage's parameters."""
  return model


def network(config: Config) -> PoseFlow:
  """The flow of `config`'s sizes. Raises UserError if there is no bank 'pose' of two weights."""
  size = dict(config.model.banks).get(BANK, 0)
  if size < 2:
    raise UserError(f'model.banks={list(config.model.banks)}: stage audio_to_pose needs a bank {BANK!r} of 2 or more')
  return PoseFlow(size, config.flow.steps, config.flow.hidden, config.flow.layers, config.flow.condition)


def build(config: Config) -> Stage:
  """Builds the stage; see `Stage` and docs/stages/audio_to_pose.md."""
  module, frames = network(config), config.flow.frames
  floats = lambda *shape: jax.ShapeDtypeStruct(shape, np.float32)

  def init(key):
    blank = jnp.zeros((1, 2, module.channels)), jnp.zeros((1, 2, MEL_BANDS * MEL_COLUMNS // POOL**2))
    return {
      'model': {'flow': module.init(key, *blank, blank[0][:, 0], jnp.ones((1, 2), bool))['params']},
      'discriminator': {},
    }

  return Stage(
    name='audio_to_pose',
    sampler='pose_sequence',
    starts_from=None,
    trainable=TRAINABLE[config.run.train],
    init=init,
    init_frozen=dict,
    model_losses=functools.partial(_model_losses, module=module, weight=config.flow),
    arrays={
      'pose': floats(frames, module.channels),
      'mel': floats(frames, MEL_BANDS, MEL_COLUMNS),
      'length': jax.ShapeDtypeStruct((), np.int32),
      'noise': floats(frames, module.channels),
    },
    sampling={'frames': frames},
    start=functools.partial(_start, module=module),
  )


def features(mel: jax.Array) -> jax.Array:
  """What the flow hears of mel windows [..., 80, 16]: their means over 4 bands x 4 columns, [..., 80].

  Heads follow the melody and strength of speech, not its phones; with all 1280 numbers, small data sets are learned by
  heart.
  """
  pooled = mel.reshape(*mel.shape[:-2], MEL_BANDS // POOL, POOL, MEL_COLUMNS // POOL, POOL).mean((-3, -1))
  return pooled.reshape(*mel.shape[:-2], -1)


def valid_frames(batch: dict) -> jax.Array:
  """bool[batch, frames]: which frames of the sequences exist."""
  return jnp.arange(batch['pose'].shape[1])[None] < batch['length'][:, None]


def _start(model: Params, batch: dict, *, module: PoseFlow) -> dict[str, jax.Array]:
  inputs = batch['pose'], features(batch['mel']), valid_frames(batch)
  found = module.apply({'params': model['flow']}, *inputs, method='start')
  return {f'flow/{path}': value for path, value in found.items()}


def _model_losses(
  model: Params, discriminator: Params, frozen: Params, batch: dict, *, module: PoseFlow, weight: FlowConfig
) -> tuple[Terms, Images]:
  """Likelihood of the poses, and how far one sample of little noise is from them, in place and in motion."""
  apply = functools.partial(module.apply, {'params': model['flow']})
  valid = valid_frames(batch)[:, 1:]  # the first frame is given
  x = apply(batch['pose'], method='standardise')
  known = apply(features(batch['mel'])[:, 1:], x[:, 0], valid, method='known')
  z, change = apply(apply(x, method='innovations'), known, valid, method='forward')
  made = apply(weight.temperature * batch['noise'][:, 1:], known, valid, method='inverse')
  sample = jnp.concatenate([x[:, :1], apply(made, x[:, 0], method='compose')], 1)
  return {
    'nll': nats_per_number(z, change, valid),
    'dual': weight.dual * squared_error(sample[:, 1:], x[:, 1:], valid),
    'temporal': weight.temporal * squared_error(jnp.diff(sample, axis=1), jnp.diff(x, axis=1), valid),
  }, {}


def nats_per_number(z: jax.Array, change: jax.Array, valid: jax.Array) -> jax.Array:
  """-log density of sequences over the valid frames, divided by how many numbers they hold: float32[batch].

  Args:
    z: [batch, frames, channels], what the flow makes of them.
    change: [batch, frames], log |det dz/dx| of each frame.
    valid: bool[batch, frames].
  """
  density = jnp.sum(valid * (flow.normal_log_density(z) + change), 1)
  return -density / (z.shape[-1] * jnp.maximum(jnp.sum(valid, 1), 1))


def squared_error(one: jax.Array, other: jax.Array, valid: jax.Array) -> jax.Array:
  """Mean squared difference of sequences [batch, frames, channels] over the valid frames: float32[batch]."""
  return jnp.sum(valid * jnp.mean((one - other) ** 2, -1), 1) / jnp.maximum(jnp.sum(valid, 1), 1)
