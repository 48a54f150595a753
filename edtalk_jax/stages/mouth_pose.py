"""Stage 1: mouth and head pose part ways by cross-reconstruction of mouth-swapped frames (EDTalk, Sec. 3.2)."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from edtalk_jax.config import Config, ModelConfig, UserError
from edtalk_jax.stages import losses, regions
from edtalk_jax.stages.networks import Networks
from edtalk_jax.stages.stage import Images, Params, Stage, Terms

Array = jax.Array
TRAINABLE = {
  'everything': '',  # as the released trainer does
  'navigation': '^navigation/(heads|banks)/',  # as the paper says: only the light modules; the trunk came with E
}

SOURCES = ('source_a', 'source_b')
DRIVERS = ('target_a', 'target_b', 'target_a_mouth_b', 'target_b_mouth_a')
OUTPUTS = ('a', 'b', 'a cross', 'b cross')
# The driver that gives each output its mouth and its pose. A crossed face takes its own mouth from the other's frame
# that carries it, and its own pose from its own frame that carries the other's mouth.
MOUTH_FROM = (0, 1, 3, 2)
POSE_FROM = (0, 1, 2, 3)
SPACES = (('mouth', 'pose'), ('pose', 'mouth'))
KNOWN = ('mouth', 'pose', 'expression')  # banks that this stage and expression train


def model_config(model: ModelConfig) -> ModelConfig:
  """The model as configured, without what stage expression adds; the stage needs its banks 'mouth' and 'pose'."""
  names = [name for name, _ in model.banks]
  if not {'mouth', 'pose'} <= set(names):
    raise UserError(f"model.banks={names}: stage mouth_pose needs banks named 'mouth' and 'pose'")
  banks = tuple((name, size) for name, size in model.banks if name != 'expression')
  return dataclasses.replace(model, banks=banks, expression_module=False)


def check_banks(model: ModelConfig) -> None:
  """Raises UserError if a bank would be saved, and drive pictures, as it was drawn."""
  if others := [name for name, _ in model.banks if name not in KNOWN]:
    raise UserError(f'model.banks: no stage trains {", ".join(others)}; expected {", ".join(KNOWN)}')


def build(config: Config) -> Stage:
  """Builds the stage; see `Stage` and docs/stages.md."""
  check_banks(config.model)
  networks = Networks(dataclasses.replace(config, model=model_config(config.model)))
  return Stage(
    name='mouth_pose',
    sampler='mouth_pose',
    starts_from='reconstruction',
    trainable=TRAINABLE[config.run.train],
    init=networks.init,
    init_frozen=networks.perceptual.init,
    model_losses=functools.partial(_model_losses, networks=networks),
    perceptual=True,
    samples=(
      *((name.replace('_', ' '), name, 0) for name in (*SOURCES, *DRIVERS)),
      *((f'generated {name}', 'reconstruction', view) for view, name in enumerate(OUTPUTS)),
    ),
    over_batch='loss.correlation' if config.loss.correlation else '',
    path_lengths=functools.partial(_path_lengths, networks=networks),
    **networks.judging(len(OUTPUTS), 2),  # all in the update of the generator, the crossed ones in its own
    **regions.asked(config.loss, DRIVERS[:2]),
  )


def _reenact(model: Params, batch: dict, networks: Networks) -> tuple[Array, dict[str, Array], Array, list[Array]]:
  """Returns the pictures and motion of `DRIVERS`, the latent codes of `OUTPUTS`, and the features of `SOURCES`."""
  sources, drivers = (
    jnp.stack([losses.to_unit_range(batch[name]) for name in names], axis=1) for names in (SOURCES, DRIVERS)
  )
  model = networks.with_rounded_encoder(model)
  # Apart, since the sources' features are needed and the drivers' are not: cutting large maps costs as much as a layer.
  codes, features = networks.encode(model, sources)
  motion = networks.motion(model, networks.codes(model, drivers))
  shift = networks.direction(networks.basis(model), _driving(motion))
  return drivers, motion, jnp.concatenate([codes, codes], axis=1) + shift, features


def _driving(motion: dict[str, Array]) -> dict[str, Array]:
  """The motion of `DRIVERS` -> the weights that move `OUTPUTS`."""
  return {'mouth': motion['mouth'][:, MOUTH_FROM, :], 'pose': motion['pose'][:, POSE_FROM, :]}


def _path_lengths(model: Params, batch: dict, keys: Array, *, networks: Networks) -> Array:
  """Of the crossed pictures, half of what is generated (StyleGAN2 too takes half a batch)."""
  _, _, latents, features = _reenact(model, batch, networks)
  return losses.path_lengths(lambda latents: networks.decode(model, latents, features), latents[:, 2:], keys)


def _model_losses(
  model: Params, discriminator: Params, perceptual: Params, batch: dict, *, networks: Networks
) -> tuple[Terms, Images]:
  """Self- and cross-reconstruction of two faces, and agreement of the weights that should be equal."""
  drivers, motion, latents, features = _reenact(model, batch, networks)
  mouth, pose = _driving(motion).values()
  image = networks.decode(model, latents, features)
  own, cross, target = image[:, :2], image[:, 2:], drivers[:, :2]

  weight = networks.config.loss
  distance = networks.perceptual.distances(perceptual, image, target)
  logits = networks.logits(discriminator, image) if weight.adversarial else None
  emphasis = regions.emphasis(weight, batch, DRIVERS[:2])
  terms = {
    'self_l1': weight.l1 * losses.l1(own, target, emphasis),
    'self_perceptual': weight.perceptual * distance[:, 0],
    'cross_l1': weight.cross * weight.l1 * losses.l1(cross, target, emphasis),
    'cross_perceptual': weight.cross * weight.perceptual * distance[:, 1],
    **({} if logits is None else {'adversarial': weight.adversarial * losses.generator_adversarial(logits)}),
    'mouth_space': weight.mouth_space * weight.latent_batch * losses.space_distance(mouth[:, 2:], mouth[:, :2]),
    'pose_space': weight.pose_space * weight.latent_batch * losses.space_distance(pose[:, 2:], pose[:, :2]),
  }
  if weight.correlation:
    mouth_tells, pose_tells = (losses.correlation(motion[one], motion[of]) for one, of in SPACES)
    terms['correlation'] = weight.correlation * (mouth_tells + pose_tells)
  # The self-reconstructions are never shown to the discriminator as fakes (official trainer).
  return terms, {'reconstruction': image, 'fake': cross, 'real': target}
