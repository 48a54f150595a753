"""Stage 6: one person's video fine-tunes the decoder, or everything (official code, train_fine_tune.py).

docs/stages/personalize.md says what follows the official trainer and what does not.
"""

import functools

import jax
import jax.numpy as jnp

from edtalk_jax.config import Config, ModelConfig
from edtalk_jax.stages import losses
from edtalk_jax.stages.networks import Networks
from edtalk_jax.stages.stage import Images, Params, Stage, Terms

TRAINABLE = {'everything': '', 'decoder': '^generator/'}


def model_config(model: ModelConfig) -> ModelConfig:
  """The model as configured; it must be that of the run it goes on from."""
  return model


def build(config: Config) -> Stage:
  """Builds the stage; see `Stage` and docs/stages.md."""
  networks = Networks(config)
  return Stage(
    name='personalize',
    sampler='personalize',
    starts_from='expression' if config.model.expression_module else 'mouth_pose',
    trainable=TRAINABLE[config.run.train],
    init=networks.init,
    init_frozen=networks.perceptual.init,
    model_losses=functools.partial(_model_losses, networks=networks),
    validation_losses=functools.partial(_validation_losses, networks=networks),
    samples=(('source', 'source', 0), ('driver = target', 'target', 0), ('generated', 'fake', 0)),
    perceptual=True,
    sampling={'identity': config.personalize.identity},
    split=config.personalize.split,
    held_out='personalize_held_out',
    **networks.judging(1),
  )


def _reenact(model: Params, batch: dict, networks: Networks) -> tuple[jax.Array, jax.Array]:
  """Paints `source` in all the motion of `target`; returns that and the target, [batch, 1, height, width, 3]."""
  views = jnp.stack([losses.to_unit_range(batch[name]) for name in ('source', 'target')], axis=1)
  codes, maps = networks.encode(model, views)
  shifts = networks.directions(networks.basis(model), networks.motion(model, codes[:, 1:]))
  expression = shifts['expression'] if networks.config.model.expression_module else None
  fake = networks.decode(model, codes[:, :1] + sum(shifts.values()), [m[:, :1] for m in maps], expression)
  return fake, views[:, 1:]


def _model_losses(
  model: Params, discriminator: Params, perceptual: Params, batch: dict, *, networks: Networks
) -> tuple[Terms, Images]:
  """The terms of stage reconstruction, through every motion space."""
  fake, real = _reenact(model, batch, networks)
  return networks.painting_terms(discriminator, perceptual, fake, real), {'fake': fake, 'real': real}


def _validation_losses(
  model: Params, discriminator: Params, perceptual: Params, batch: dict, *, networks: Networks
) -> tuple[Terms, Images]:
  """What decides which checkpoint is the best, and when to stop: minus the PSNR in dB (ours)."""
  fake, real = _reenact(model, batch, networks)
  return {'minus_psnr': -psnr(fake, real)}, {}


def psnr(prediction: jax.Array, target: jax.Array) -> jax.Array:
  """Peak signal-to-noise ratio in dB of images in [-1, 1], to which `prediction` is clipped.

  Takes [batch, views, height, width, 3] and returns float32[batch], the mean over views.
  """
  error = jnp.mean((jnp.clip(prediction, -1, 1) - target) ** 2, axis=(2, 3, 4))
  return jnp.mean(10 * jnp.log10(4 / jnp.maximum(error, 1e-10)), axis=1)
