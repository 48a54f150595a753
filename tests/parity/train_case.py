"""One iteration of the official E/G (LIA) and mouth-pose trainers, and three in a row, by our code.

  python -m tests.parity.train_case CASE.npz [--double]

Prints a JSON object: name of each recorded number -> its error as a multiple of the pack's tolerance. Covers losses,
logits, images, the gradient of every parameter, and parameters and their changes after Adam. A process of its own for
`--double`, which runs the same code with every float32 replaced by float64, before anything is imported.
"""

import dataclasses
import functools
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np

DOUBLE = '--double' in sys.argv
jax.config.update('jax_default_matmul_precision', 'highest')
if DOUBLE:
  jax.config.update('jax_enable_x64', True)
  jnp.float32 = jnp.float64

from edtalk_jax import ops, stages
from edtalk_jax.config import Config, LossConfig, PerceptualConfig, RunConfig
from edtalk_jax.stages.networks import Networks
from edtalk_jax.training import optimizers, step, trees
from edtalk_jax.training import state as state_lib
from edtalk_jax.weights import from_official, official_layout
from tests.shared import conventions


@dataclasses.dataclass(frozen=True)
class Trainer:
  """How an official trainer's words map to ours."""

  stage: str
  network: str
  fields: dict[str, str]
  losses: dict[str, str]
  trajectory: dict[str, str]


MOUTH_POSE_LOSSES = {
  'recon_vgg_loss': 'self_perceptual',
  'recon_l1_loss': 'self_l1',
  'cross_recon_vgg_loss': 'cross_perceptual',
  'cross_recon_l1_loss': 'cross_l1',
  'cross_recon_gan_g_loss': 'adversarial',
  'lip_space': 'mouth_space',
  'pose_space': 'pose_space',
}
EG_LOSSES = {'vgg_loss': 'perceptual', 'l1_loss': 'l1', 'gan_g_loss': 'adversarial'}
TRAINERS = {
  'train_mouthpose': Trainer(
    stage='mouth_pose',
    network='lip_pose',
    fields={
      'img_a_identity': 'source_a',
      'img_b_identity': 'source_b',
      'img_a': 'target_a',
      'img_b': 'target_b',
      'imagea_b': 'target_a_mouth_b',
      'imageb_a': 'target_b_mouth_a',
    },
    losses={**MOUTH_POSE_LOSSES, 'total': 'loss'},
    trajectory={**MOUTH_POSE_LOSSES, 'g_total': 'loss', 'd_loss': 'discriminator_loss'},
  ),
  'train_eg': Trainer(
    stage='reconstruction',
    network='lia',
    fields={'source': 'source', 'target': 'target'},
    losses={**EG_LOSSES, 'total': 'loss'},
    trajectory={**EG_LOSSES, 'd_loss': 'discriminator_loss'},
  ),
}


class Official:
  """Trees of ours under official names, in the official sign convention of the banks."""

  def __init__(self, arrays, config, network):
    self.arrays, self.config, self.network = arrays, config, network
    banks = [name for name in arrays if 'direction' in name]
    self.signs = {name: ops.householder_signs(arrays[name]) for name in banks}

  def __call__(self, tree):
    """Our parameters or gradients -> official name -> array; parameters that the official code never uses are zero."""
    found = official_layout(jax.device_get(tree), self.config, self.network)
    found = {name: array * self.signs.get(name, 1) for name, array in found.items()}
    return {name: found.get(name, np.zeros_like(array)) for name, array in self.arrays.items()}


def compare_updates(case, pack, prefix, official, old, gradient, new):
  """Yields (key, got) for gradients and for parameters after one Adam step."""
  names = [str(name) for name in case[f'out/{prefix}/param_names']]
  used = dict(zip(names, case[f'out/{prefix}/param_has_grad'], strict=True))
  grads = official(gradient)
  before = {name: official.arrays[name] for name in names}
  converted_old, converted_new = official(old), official(new)
  # Parameters that the official code never uses keep their values.
  after = {name: converted_new[name] if used[name] else before[name] for name in names}
  for name in names:
    if used[name]:
      np.testing.assert_array_equal(converted_old[name], before[name])
  change = {name: after[name].astype(np.float64) - before[name] for name in names}
  norm = lambda arrays: float(np.sqrt(sum(np.sum(np.square(a, dtype=np.float64)) for a in arrays)))
  yield 'grad_norm/total', norm(grads[name] for name in names)
  yield 'grad_norm/per_param', [norm([grads[name]]) for name in names]
  for key in case:
    if key.startswith(f'out/{prefix}/grad_norm/module/'):
      module = key.rsplit('/', 1)[1]
      yield f'grad_norm/module/{module}', norm(grads[n] for n in names if n.startswith(module + '.'))
    if key.startswith(f'out/{prefix}/grad_sample/'):
      array = grads[key.split('/grad_sample/')[1]]
      yield key.removeprefix(f'out/{prefix}/'), array.reshape(-1)[:: pack.sample_stride(array.size, 32)]
  for label, values in (('after', after), ('delta', change)):
    if f'out/{prefix}/{label}/l2' not in case:
      continue
    yield f'{label}/sum', sum(np.sum(values[name], dtype=np.float64) for name in names)
    yield f'{label}/l2', norm(values[name] for name in names)
    yield f'{label}/sum_per_param', [np.sum(values[name], dtype=np.float64) for name in names]
    yield f'{label}/l2_per_param', [norm([values[name]]) for name in names]
  samples = [change[name].reshape(-1)[:: pack.sample_stride(change[name].size, 32)] for name in names]
  yield 'delta_sample_all', np.concatenate(samples)
  yield 'delta_sample_count', [len(sample) for sample in samples]


def summaries(pack, name, images):
  """Yields the keys under which the pack may hold images [batch, height, width, 3]."""
  nchw = np.asarray(images).transpose(0, 3, 1, 2)
  stat, sample = pack.summarise(nchw)
  yield from ((name, nchw), (f'{name}/stat', stat), (f'{name}/sample', sample))


def load_case(path: pathlib.Path):
  """Returns the case, its trainer, the config, official arrays by part, and our parameters."""
  case, pack = dict(np.load(path)), conventions(path.parent)
  trainer, size, seed = TRAINERS[str(case['net'])], int(case['size']), int(case['seed'])
  arrays, params, configs = {}, {}, {}
  for part, network, suffix in (
    ('model', trainer.network, f'_{size}'),
    ('discriminator', 'discriminator', f'_{size}'),
    ('vgg', 'vgg19', ''),
  ):
    manifest = pack.load_manifest(path.parent / f'manifest_{network}{suffix}.json')
    arrays[part] = pack.make_weights(manifest, seed)
    configs[part], variables = from_official(arrays[part], network)
    params[part] = jax.tree.map(lambda array: np.asarray(array, jnp.float32), variables['params'])
  batch = {ours: case[f'in/{theirs}_u8'] for theirs, ours in trainer.fields.items()}
  scales = tuple(scale for scale in (1.0, 0.5, 0.25, 0.125) if size * scale >= 16)  # the pack's README, fact 7
  config = Config(
    run=RunConfig(stage=trainer.stage),
    model=configs['model'],
    perceptual=PerceptualConfig(scales=scales),
    loss=LossConfig(latent_batch=float(len(next(iter(batch.values()))))),  # the official sum over this batch
  )
  if DOUBLE:
    object.__setattr__(config.model, 'dtype', 'float64')  # not a choice that users have
  return case, trainer, config, arrays, params, batch


def run(path: pathlib.Path) -> dict[str, float]:
  """Returns the error of every recorded number as a multiple of its tolerance."""
  pack = conventions(path.parent)
  case, trainer, config, arrays, params, batch = load_case(path)
  stage, networks = stages.build(config), Networks(config)
  optimizer = optimizers.both(config)

  @functools.partial(jax.jit, donate_argnums=0)
  def iterate(state, vgg):
    found = step.gradients(state.model, state.discriminator, vgg, batch, stage=stage)
    logits = {name: networks.logits(state.discriminator, images) for name, images in found.images.items()}
    return step.apply_gradients(state, found, stage=stage, **optimizer), found, logits

  state = state_lib.create({k: params[k] for k in ('model', 'discriminator')}, stage.trainable, *optimizer.values())
  metrics = []
  iterations = max((len(case[key]) for key in case if key.startswith('out/trajectory')), default=1)
  for iteration in range(iterations):
    state, found, logits = iterate(jax.tree.map(np.asarray, state), params['vgg'])
    metrics.append(jax.device_get(found.metrics))
    if iteration == 0:
      first = jax.device_get((state, found, logits))

  state, found, logits = first
  model = Official(arrays['model'], config.model, trainer.network)
  discriminator = Official(arrays['discriminator'], config.model, 'discriminator')
  got = {f'gen/loss/{theirs}': metrics[0][ours] for theirs, ours in trainer.losses.items()}
  got |= {f'trajectory/{theirs}': [m[ours] for m in metrics] for theirs, ours in trainer.trajectory.items()}
  got['dis/loss'] = metrics[0]['discriminator_loss']
  flat = lambda name: np.asarray(logits[name]).T.reshape(-1, 1)  # the official order: one view after the other
  got |= {'dis/logits_real': flat('real'), 'dis/logits_recon': flat('fake')}
  if trainer.stage == 'mouth_pose':
    got['gen/logits_recon_a_b_cross_a_b'] = flat('reconstruction')
    images = {'recon_a_cross': found.images['fake'][:, 0], 'recon_b_cross': found.images['fake'][:, 1]}
  else:
    got['gen/logits_recon'] = flat('fake')
    images = {'recon': found.images['fake'][:, 0]}
  for name, image in images.items():
    got |= {f'gen/{key}': value for key, value in summaries(pack, name, image)}
  unflat = trees.unflatten
  updates = (
    ('gen', model, params['model'], unflat(found.model), state.model),
    ('dis', discriminator, params['discriminator'], unflat(found.discriminator), state.discriminator),
  )
  for prefix, official, *values in updates:
    got |= {f'{prefix}/{key}': value for key, value in compare_updates(case, pack, prefix, official, *values)}

  return excess(path, case, got)


def excess(path, case, got):
  """Every recorded number must be among `got`; returns its error over its tolerance."""
  pack = conventions(path.parent)
  tolerances = json.loads((path.parent / 'tolerances.json').read_text())[path.stem]
  found = {}
  for key in case:
    if key.startswith('out/') and not key.endswith(('param_names', 'param_has_grad')):
      name = key.removeprefix('out/')
      error, ok = pack.compare(np.asarray(got[name]), case[key], tolerances[name])
      found[name] = float(not ok) * np.inf if 'exact' in tolerances[name] else error / tolerances[name]['tol']
  return found


if __name__ == '__main__':
  json.dump(
    {name: float(np.nan_to_num(value, posinf=1e9)) for name, value in run(pathlib.Path(sys.argv[1])).items()},
    sys.stdout,
  )
