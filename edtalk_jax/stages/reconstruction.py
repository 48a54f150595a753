"""Stage 0: encoder and generator learn to reenact, with one undivided motion space (LIA, Wang et al., 2022)."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from edtalk_jax.config import Config, ModelConfig
from edtalk_jax.stages import losses, regions
from edtalk_jax.stages.networks import Networks
from edtalk_jax.stages.stage import Images, Params, Stage, Terms

Array = jax.Array
MOTION_SIZE = 20  # of LIA's only bank
TRAINABLE = {'everything': '', 'navigation': '^navigation/'}


def model_config(model: ModelConfig) -> ModelConfig:
  """LIA: one bank 'motion' with a one-layer head in place of the banks of later stages, no expression module."""
  return dataclasses.replace(model, banks=(('motion', MOTION_SIZE),), head_layers=1, expression_module=False)


def build(config: Config) -> Stage:
  """Builds the stage; see `Stage` and docs/stages.md."""
  networks = Networks(dataclasses.replace(config, model=model_config(config.model)))
  return Stage(
    name='reconstruction',
    sampler='reconstruction',
    starts_from=None,
    trainable=TRAINABLE[config.run.train],
    init=networks.init,
    init_frozen=networks.perceptual.init,
    model_losses=functools.partial(_model_losses, networks=networks),
    perceptual=True,
    samples=(('source', 'source', 0), ('driver = target', 'target', 0), ('generated', 'fake', 0)),
    path_lengths=functools.partial(_path_lengths, networks=networks),
    **networks.judging(1),
    **regions.asked(config.loss, ('target',)),
  )


def _reenact(model: Params, batch: dict, networks: Networks) -> tuple[Array, Array, list[Array]]:
  """Returns the pictures, and the latent codes and source features from which `source` is painted as `target`."""
  views = jnp.stack([losses.to_unit_range(batch[name]) for name in ('source', 'target')], axis=1)
  codes, features = networks.encode(model, views)
  motion = networks.motion(model, codes[:, 1])
  latent = codes[:, 0] + networks.direction(networks.basis(model), motion)
  return views, latent[:, None], [f[:, :1] for f in features]


def _path_lengths(model: Params, batch: dict, keys: Array, *, networks: Networks) -> Array:
  """Of the generated pictures."""
  _, latent, features = _reenact(model, batch, networks)
  return losses.path_lengths(lambda latent: networks.decode(model, latent, features), latent, keys)


def _model_losses(
  model: Params, discriminator: Params, perceptual: Params, batch: dict, *, networks: Networks
) -> tuple[Terms, Images]:
  """L1, perceptual and adversarial terms of reenacting `source` by `target`, a frame of the same person."""
  views, latent, features = _reenact(model, batch, networks)
  fake = networks.decode(model, latent, features)
  real = views[:, 1:]
  emphasis = regions.emphasis(networks.config.loss, batch, ('target',))
  terms = networks.painting_terms(discriminator, perceptual, fake, real, emphasis)
  return terms, {'fake': fake, 'real': real}
