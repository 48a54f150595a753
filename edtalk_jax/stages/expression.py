"""Stage 2: expression as what frozen mouth and pose leave unexplained (EDTalk Sec. 3.3; docs/stages/expression.md).

The official trainer was never released. What trains, and what is reconstructed from what, follows the paper and the
released networks; the losses besides reconstruction, perceptual and adversarial are ours.
"""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
from flax import traverse_util

from edtalk_jax.config import Config, ModelConfig, UserError
from edtalk_jax.stages import losses, mouth_pose, population, regions
from edtalk_jax.stages.features import Features
from edtalk_jax.stages.networks import Networks
from edtalk_jax.stages.stage import MOVED, Images, Params, Stage, Terms

BANK = 'expression'
SIZE = 10  # of the released bank
_NAVIGATION = rf'^navigation/(heads/{BANK}/|banks/{BANK}$)'
_MODULE = r'^generator/expression_\d+/'
TRAINABLE = {
  'everything': f'{_NAVIGATION}|{_MODULE}',  # ELN and EEM, as the paper says
  'navigation': _NAVIGATION,  # ELN alone: the EEM stays as it is, after mouth_pose the identity (the paper's ablation)
}


def model_config(model: ModelConfig) -> ModelConfig:
  """The model of stage mouth_pose, a bank 'expression' behind its banks, and the EEM."""
  earlier = mouth_pose.model_config(model)
  names = [name for name, _ in model.banks]
  if BANK in names[:-1]:
    raise UserError(f"model.banks={names}: stage expression needs '{BANK}' as the last bank; it moves those behind it")
  size = dict(model.banks).get(BANK, SIZE)
  return dataclasses.replace(earlier, banks=(*earlier.banks, (BANK, size)), expression_module=True)


def build(config: Config) -> Stage:
  """Builds the stage; see `Stage` and docs/stages.md."""
  mouth_pose.check_banks(config.model)
  config = dataclasses.replace(config, model=model_config(config.model))
  networks = Networks(config)
  features = {name: Features(name, spec) for name, spec in dataclasses.asdict(config.features).items() if spec}

  gathers = config.loss.correlation > 0

  def init(key):
    params = at_rest(networks.init(key), config.model)
    statistics = {population.NAME: population.init(config.model.style_dim)} if gathers else {}
    return {**params, 'model': {**params['model'], **statistics}}

  def init_frozen():
    return {'perceptual': networks.perceptual.init(), **{name: network.init() for name, network in features.items()}}

  return Stage(
    name='expression',
    sampler='expression',
    starts_from='mouth_pose',
    trainable=TRAINABLE[config.run.train],
    init=init,
    init_frozen=init_frozen,
    model_losses=functools.partial(_model_losses, networks=networks, features=features),
    perceptual=True,
    samples=(
      ('source', 'source', 0),
      ('driver = target', 'target', 0),
      ('mouth and pose', 'without_expression', 0),
      ('generated', 'fake', 0),
    ),
    over_batch='loss.correlation' if gathers else '',
    moving=f'^{population.NAME}/' if gathers else '',
    given='' if config.run.train == 'everything' else _MODULE,
    **networks.judging(1),
    **regions.asked(config.loss, ('target',)),
  )


def at_rest(params: dict, model: ModelConfig) -> dict:
  """Returns fresh parameters whose expression does nothing yet, so that the stage begins where mouth_pose ended.

  The head's last layer is zero, and so is every weight; scale -1 and shift 0 make each AdaIN zero and each EEM the
  identity. All of them have gradients: only the layers in front wait for one step.
  """
  flat = traverse_util.flatten_dict(params['model'], sep='/')
  last = f'navigation/heads/{BANK}/linear_{model.head_layers - 1}/'
  for path, leaf in flat.items():
    if path.startswith(last) or re.match(r'generator/expression_\d+/norm/(scale|shift)/', path):
      flat[path] = jnp.full_like(leaf, -1.0 if path.endswith('/norm/scale/bias') else 0.0)
  return {**params, 'model': traverse_util.unflatten_dict(flat, sep='/')}


def _model_losses(
  model: Params,
  discriminator: Params,
  frozen: Params,
  batch: dict,
  *,
  networks: Networks,
  features: dict[str, Features],
) -> tuple[Terms, Images]:
  """Reenacting `source` (neutral where there is such a clip) by all the motion of `target`, of the same person."""
  views = jnp.stack([losses.to_unit_range(batch[name]) for name in ('source', 'target')], axis=1)
  codes, maps = networks.encode(model, views)
  drivers = codes[:, 1:]
  weights = networks.motion(model, drivers)
  shifts = networks.directions(networks.basis(model), weights)
  maps = [m[:, :1] for m in maps]
  shift = sum(shifts.values())
  fake = networks.decode(model, codes[:, :1] + shift, maps, shifts[BANK])
  real = views[:, 1:]

  weight = networks.config.loss
  emphasis = regions.emphasis(weight, batch, ('target',))
  terms = networks.painting_terms(discriminator, frozen['perceptual'], fake, real, emphasis)
  found = {
    name: (network(frozen[name], fake), network(frozen[name], jax.lax.stop_gradient(real)))
    for name, network in features.items()
  }
  if 'emotion' in found:
    terms['emotion'] = weight.emotion * losses.feature_l1(*found['emotion'])
  if 'identity' in found:
    terms['identity'] = weight.identity * losses.feature_cosine(*found['identity'])
  images = {'fake': fake, 'real': real}
  if weight.correlation:
    gathered = population.gather(model[population.NAME], losses.merge_views(drivers))
    others = [name for name in weights if name != BANK]
    told = population.explained(gathered, functools.partial(networks.motion, model), BANK, others)
    terms['correlation'] = jnp.full(len(real), weight.correlation * told)
    images[MOVED] = {population.NAME: gathered}
  # What frozen mouth and pose can do; only sample grids ask for it, a training step leaves it out.
  images['without_expression'] = networks.decode(model, codes[:, :1] + shift - shifts[BANK], maps)
  return terms, images
