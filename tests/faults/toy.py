"""A stage that compiles in a second, for tests of what happens around the step: colours of noise, two dense networks.

Its poison are pictures of one value: batches of them give a loss, or a gradient alone, that is not finite, or a loss
that is much too high.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import examples, run, sharding
from tests import tiny

POISON = {'loss': 255, 'gradient': 254, 'discriminator': 253, 'spike': 252}
CONFIG = tiny.config('reconstruction')


def batch(seed: int, size: int = 8) -> dict[str, np.ndarray]:
  """Noise; no poison."""
  return tiny.batch(CONFIG, size=size, seed=seed)


def poison(where: str = 'loss', size: int = 8) -> dict[str, np.ndarray]:
  """A batch whose step goes wrong."""
  return {name: np.full_like(array, POISON[where]) for name, array in batch(0, size).items()}


def stage() -> Stage:
  """A GAN of mean colours."""
  return Stage('toy', 'reconstruction', None, '', _init, dict, _model_losses, _discriminator_losses, (), ())


def install(monkeypatch, make_loader) -> None:
  """Lets `run.train` train the toy, on one device, from the batches of `make_loader` instead of records."""
  monkeypatch.setattr(run.stages, 'build', lambda config: stage())
  monkeypatch.setattr(examples.loader, 'make_loader', make_loader)
  one_device = functools.partial(sharding.make_mesh, devices=jax.devices()[:1])
  monkeypatch.setattr(run.sharding, 'make_mesh', one_device)
  monkeypatch.setattr(examples.records, 'splits', lambda folder: ('train',))
  monkeypatch.setattr(examples.records, 'fingerprint', lambda folder: 'digest')


def _init(key):
  keys = jax.random.split(key, 4)
  kernel = lambda k, *shape: {'kernel': jax.random.normal(keys[k], shape)}
  return {
    'model': {'encoder': kernel(0, 3, 8), 'generator': {'rgb_4': kernel(1, 8, 3)}},
    'discriminator': {'critic': kernel(2, 3, 8), 'logit': {'last': kernel(3, 8, 1)}},
  }


def _colour(pictures):
  return jnp.mean(pictures, (1, 2)) / 127.5 - 1


def _score(discriminator, colour):
  return (jnp.tanh(colour @ discriminator['critic']['kernel']) @ discriminator['logit']['last']['kernel'])[:, 0]


def _model_losses(model, discriminator, frozen, batch):
  is_bad = lambda where: jnp.all(batch['source'] == POISON[where])
  real, kernel = _colour(batch['target']), model['generator']['rgb_4']['kernel']
  fake = jnp.tanh(_colour(batch['source']) @ model['encoder']['kernel']) @ kernel
  # The derivative of the root at 0 is infinite; its value is not.
  root = jnp.sqrt(jnp.where(is_bad('gradient'), 0.0, 1.0) * jnp.sum(kernel**2))
  l1 = jnp.mean(jnp.abs(fake - real), -1) + 0.01 * root + jnp.where(is_bad('spike'), 1e3, 0.0)
  terms = {'l1': jnp.where(is_bad('loss'), jnp.nan, l1), 'adversarial': jax.nn.softplus(-_score(discriminator, fake))}
  return terms, {'real': jnp.where(is_bad('discriminator'), jnp.inf, real), 'fake': fake}


def _discriminator_losses(discriminator, images):
  real = jax.nn.softplus(-jnp.sum(images['real'] * 0, -1) - _score(discriminator, images['real']))
  return {'discriminator_real': real, 'discriminator_fake': jax.nn.softplus(_score(discriminator, images['fake']))}
