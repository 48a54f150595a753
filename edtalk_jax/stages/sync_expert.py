"""Stage `sync_expert`: which sound belongs to which lips (SyncNet as in Wav2Lip; docs/stages/sync_expert.md).

The official project names an expert's checkpoint without releasing it or its training. Network and loss are Wav2Lip's
(Prajwal et al., 2020); that every example holds a true and a shifted window is ours.
"""

import functools
import math
from collections.abc import Mapping

import jax.numpy as jnp

from edtalk_jax.config import Config, ModelConfig
from edtalk_jax.networks.sync_expert import SyncExpert
from edtalk_jax.stages import lips, losses
from edtalk_jax.stages.stage import MOVED, WATCHED, Images, Params, Stage, Terms

NAME = 'sync_expert'  # of the stage, and of the network among its parameters
TRAINABLE = {'everything': f'^{NAME}/params/'}
MOVING = f'^{NAME}/batch_stats/'
CHANCE = math.log(2)  # the loss of an expert that says 0.5 to everything


def model_config(model: ModelConfig) -> ModelConfig:
  """The model as configured: the stage uses nothing of it but the size of its pictures."""
  return model


def build(config: Config) -> Stage:
  """Builds the stage; see `Stage` and docs/stages.md."""
  expert = SyncExpert(config.audio.width)
  return Stage(
    name=NAME,
    sampler=NAME,
    starts_from=None,
    trainable=TRAINABLE[config.run.train],
    init=lambda key: {'model': {NAME: lips.draw(expert, key)}, 'discriminator': {}},
    init_frozen=dict,
    model_losses=functools.partial(_losses, expert=expert, train=True),
    validation_losses=functools.partial(_losses, expert=expert, train=False),
    over_batch='BatchNorm',
    arrays={**lips.fields(config.model.image_size), 'mel': lips.mel(), 'shifted_mel': lips.mel()},
    moving=MOVING,
    diagnose=diagnose,
  )


def _losses(
  model: Params, discriminator: Params, frozen: Params, batch: dict, *, expert: SyncExpert, train: bool
) -> tuple[Terms, Images]:
  """Cross-entropy of the cosine: one for the frames' own sound, zero for sound of the same clip at another time."""
  faces = lips.faces(losses.to_unit_range(batch['frames']), batch['boxes'])
  mel = jnp.concatenate([batch['mel'], batch['shifted_mel']])  # both in one batch of statistics

  def embed(expert):
    return expert.listen(mel, train=train), expert.look(faces, train=train)

  (sound, seen), state = expert.apply(model[NAME], method=embed, mutable=['batch_stats'])
  aligned, shifted = (lips.agreement(half, seen) for half in jnp.split(sound, 2))
  terms = {'aligned': 0.5 * lips.surprise(aligned), 'shifted': 0.5 * lips.surprise(1 - shifted)}
  told_apart = jnp.where(aligned > shifted, 1.0, jnp.where(aligned < shifted, 0.0, 0.5))
  return terms, {MOVED: {NAME: state}, WATCHED: {'told_apart': told_apart}}


def diagnose(examples: int, means: Mapping[str, float]) -> str:
  """Tells an expert that is stuck at 0.69 from one that learns, from metrics averaged over some examples.

  `told_apart` is the share of examples whose own sound is nearer than the shifted one: 0.5 by chance, and where both
  are equally near. It moves long before the loss does, which stays at log 2 as long as the embeddings say nothing, and
  as well when they say little.
  """
  share, error = means['told_apart'], 0.5 / math.sqrt(examples)  # standard deviation of a share by chance
  if share > 0.5 + 3 * error:
    verdict = 'learning'
  elif means['loss'] < 0.95 * CHANCE:
    verdict = 'the loss falls without it: look for a cue that is not the lips'
  else:
    verdict = f'no more than chance so far; loss {means["loss"]:.3g}, log 2 = 0.693 is that of knowing nothing'
  return f'own sound told from shifted sound in {100 * share:.0f} % of {examples} (50 % by chance): {verdict}'
