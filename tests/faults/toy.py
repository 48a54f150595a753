"""A stage that compiles in a second, for tests of what happens around the step: colours of noise, two dense networks.

Its poison are pictures of one value: batches of them give a loss, or a gradient alone, that is not finite, or a loss
that is much too high.
"""

import functools
import itertools
import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax import stages
from edtalk_jax.config import Config, MeshConfig
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import checkpoint, fit, hooks, programs, sharding
from edtalk_jax.training.checkpoint import Checkpoints
from tests import tiny

POISON = {'loss': 255, 'gradient': 254, 'discriminator': 253, 'spike': 252}
TRAINABLE = {'everything': ''}
CONFIG = tiny.config('toy')
_FIELDS = tiny.config('reconstruction')  # whose sampler the toy's examples come from


def batch(seed: int, size: int = 8) -> dict[str, np.ndarray]:
  """Noise; no poison."""
  return tiny.batch(_FIELDS, size=size, seed=seed)


def poison(where: str = 'loss', size: int = 8) -> dict[str, np.ndarray]:
  """A batch whose step goes wrong."""
  return {name: np.full_like(array, POISON[where]) for name, array in batch(0, size).items()}


def from_step(start: int) -> Iterable[dict[str, np.ndarray]]:
  """The batches after `start` steps, without end, as the loader gives them."""
  for step in itertools.count(start):
    yield {**batch(step), 'index': np.arange(8 * step, 8 * step + 8)}


def build(config: Config) -> Stage:
  """A GAN of mean colours."""
  return Stage('toy', 'reconstruction', None, '', _init, dict, _model_losses, _discriminator_losses, (), ())


def model_config(model):
  """The toy has no networks of its own."""
  return model


def stage() -> Stage:
  """The toy."""
  return build(CONFIG)


# Found by its name like any other stage, in this process and in those that run `toy_train.py`.
stages.STAGES['toy'] = sys.modules[__name__]


@functools.cache
def compiled(devices: int = 1, fsdp: int = 1, config: Config = CONFIG) -> programs.Programs:
  """The toy's programs, compiled once for all tests of a process."""
  mesh = sharding.make_mesh(MeshConfig(fsdp=fsdp), jax.devices()[:devices])
  return programs.build(config, stage(), mesh)


def train(
  config: Config,
  workdir: pathlib.Path,
  batches: Callable[[int], Iterable[dict[str, np.ndarray]]],
  held_out: Sequence[dict[str, np.ndarray]] = (),
  compiled: programs.Programs | None = None,
  **more: Any,
) -> list[str]:
  """Trains the toy in this process, from the newest checkpoint of `workdir` if there is one.

  Args:
    config: of the run.
    workdir: made if need be.
    batches: number of steps made -> the batches from there on.
    held_out: validation batches.
    compiled: the toy's programs, by default on one device.
    **more: for `fit` and its hooks.

  Returns:
    The lines of the log.
  """
  said: list[str] = []
  compiled = compiled or _one_device()
  workdir.mkdir(parents=True, exist_ok=True)
  with jax.set_mesh(compiled.mesh), Checkpoints(workdir, config.checkpoint, {}) as checkpoints:
    latest = checkpoint.resume_step(workdir, said.append)
    start = checkpoint.restore(workdir, latest, compiled.shapes) if latest else compiled.init(jax.random.key(0))
    stopping = hooks.EarlyStopping(config.checkpoint, workdir)
    standard = hooks.standard(config, stage(), compiled, {}, held_out, workdir, checkpoints, stopping, said.append)
    fit.fit(
      stage(),
      compiled,
      start,
      batches(int(start.step)),
      [*more.pop('hooks', ()), *standard],
      config=config,
      workdir=workdir,
      say=said.append,
      **more,
    )
  return said


def _one_device() -> programs.Programs:
  return compiled()


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
