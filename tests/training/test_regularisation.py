"""R1 and path lengths: by hand on a small network, and through the operators of the real ones."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import export

from edtalk_jax.config import LossConfig, MeshConfig, OptimizerConfig, UserError
from edtalk_jax.stages import losses
from edtalk_jax.training import programs, regularisation, sharding, trees
from tests import compiled, tiny
from tests.faults import toy

EVERY = {'generator_every': 3, 'discriminator_every': 2}


def small_stage():
  """The toy with pictures of one pixel, whose logits and paths can be written down."""
  plain, pixel = toy.stage(), lambda colour: colour[:, None, None, None]

  def model_losses(*arguments):
    terms, images = plain.model_losses(*arguments)
    return terms, {name: pixel(image) for name, image in images.items()}

  def discriminator_losses(discriminator, images):
    return plain.discriminator_losses(discriminator, {name: image[:, 0, 0, 0] for name, image in images.items()})

  def logits(discriminator, images):
    hidden = jnp.tanh(images[:, :, 0, 0] @ discriminator['critic']['kernel'])
    return hidden @ discriminator['logit']['last']['kernel'][:, 0]

  def path_lengths(model, batch, keys):
    latents = (jnp.mean(batch['source'], (1, 2)) / 127.5 - 1) @ model['encoder']['kernel']
    paint = lambda latents: jnp.tanh(latents) @ model['generator']['rgb_4']['kernel']
    return losses.path_lengths(lambda latents: paint(latents)[:, :, None, None], latents[:, None], keys)

  return dataclasses.replace(
    plain,
    model_losses=model_losses,
    discriminator_losses=discriminator_losses,
    logits=logits,
    path_lengths=path_lengths,
  )


@functools.cache
def small_run(steps, accumulate=1, devices=1, **loss):
  """States and metrics after each step, the state at the start first."""
  optimizer = OptimizerConfig(epsilon=1e-3, accumulate=accumulate, **EVERY)
  config = dataclasses.replace(toy.CONFIG, loss=LossConfig(**loss), optimizer=optimizer)
  mesh = sharding.make_mesh(MeshConfig(), jax.devices()[:devices])
  parts = programs.build(config, small_stage(), mesh)
  with jax.set_mesh(mesh):
    state = parts.init(jax.random.key(0))
    found = [(jax.device_get(state), {})]
    for seed in range(steps):
      batch = jax.device_put(toy.batch(seed), sharding.batch_sharding(mesh))
      state, metrics = parts.train(state, {}, batch)
      found.append(jax.device_get((state, metrics)))
  return found


def test_r1_is_that_by_hand_every_second_step_in_an_update_of_its_own():
  plain, with_r1 = small_run(1), small_run(3, r1=5.0)
  after, moments = plain[1][0].discriminator, plain[1][0].discriminator_moments
  real = jnp.mean(toy.batch(0)['target'], (1, 2)) / 127.5 - 1

  def penalty(discriminator):
    """Of tanh(x W) v the gradient by x is W (v * (1 - tanh(x W)^2))."""
    kernel, last = discriminator['critic']['kernel'], discriminator['logit']['last']['kernel'][:, 0]
    gradient = (last[None] * (1 - jnp.tanh(real @ kernel) ** 2)) @ kernel.T
    return jnp.mean(jnp.sum(gradient**2, -1))

  gradient = jax.grad(lambda discriminator: 2 * 5.0 / 2 * penalty(discriminator))(after)
  ratio = 2 / 3
  adam = optax.adam(0.002 * ratio, b1=0.0, b2=0.99**ratio, eps=1e-3)
  updates, _ = adam.update(trees.flatten(gradient), moments, trees.flatten(after))
  expected = optax.apply_updates(trees.flatten(after), updates)
  state, metrics = with_r1[1]
  for path, array in trees.flatten(state.discriminator).items():
    np.testing.assert_allclose(array, expected[path], rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(metrics['r1'], penalty(after), rtol=1e-5)
  np.testing.assert_allclose(metrics['grad_norm/r1'], optax.tree.norm(gradient), rtol=1e-5)
  assert [int(state.discriminator_moments[0].count) for state, _ in with_r1] == [0, 2, 3, 5]
  assert [int(state.model_moments[0].count) for state, _ in with_r1] == [0, 1, 2, 3]
  # Between two measurements the last one stands in the metrics, as in the state that a resumed run goes on from.
  assert with_r1[2][1]['r1'] == with_r1[1][1]['r1'] != with_r1[3][1]['r1']
  assert np.isfinite([*with_r1[3][1].values()]).all()


def test_path_lengths_of_a_linear_painter_are_those_of_numpy():
  matrix = np.random.default_rng(0).normal(size=(5, 4 * 4 * 3)).astype(np.float32)
  keys, latents = jax.random.split(jax.random.key(1), 2), jnp.zeros((2, 3, 5))
  found = losses.path_lengths(lambda z: (z @ matrix).reshape(2, 3, 4, 4, 3), latents, keys)
  noise = np.stack([jax.random.normal(key, (3, 4, 4, 3)) for key in keys]).reshape(2, 3, 48) / 4
  np.testing.assert_allclose(found, np.linalg.norm(noise @ matrix.T, axis=-1), rtol=1e-5)


def test_the_path_regulariser_pulls_towards_the_running_mean():
  found = small_run(7, path_length=2.0)
  lengths, means = ([float(metrics[name]) for _, metrics in found[1:]] for name in ('path_length', 'path_length_mean'))
  assert lengths[0] == lengths[1] == lengths[2] != lengths[3] == lengths[5] != lengths[6]
  expected = [0.01 * lengths[0]]
  for length in (lengths[3], lengths[6]):
    expected.append(expected[-1] + 0.01 * (length - expected[-1]))
  np.testing.assert_allclose([means[0], means[3], means[6]], expected, rtol=1e-5)
  assert [int(state.model_moments[0].count) for state, _ in found] == [0, 2, 3, 4, 6, 7, 8, 10]
  assert [int(state.discriminator_moments[0].count) for state, _ in found] == [*range(8)]
  # The mean is far below yet: the lengths shrink.
  plain, pulled = small_run(1)[1][0].model, found[1][0].model
  longer, shorter = (
    float(jnp.mean(small_stage().path_lengths(model, toy.batch(0), jax.random.split(jax.random.key(5), 8))))
    for model in (plain, pulled)
  )
  assert shorter < longer


@pytest.mark.parametrize(('accumulate', 'devices'), [(4, 1), (2, 4)])
def test_regularisers_do_not_depend_on_parts_or_mesh(accumulate, devices):
  choice = {'r1': 5.0, 'path_length': 2.0}
  for (one, metrics), (other, others) in zip(
    small_run(4, **choice), small_run(4, accumulate, devices, **choice), strict=True
  ):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, other)
    for name, value in metrics.items():
      np.testing.assert_allclose(others[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_stage_without_them_is_one_clear_line():
  mesh = sharding.make_mesh(MeshConfig(), jax.devices()[:1])
  for name in ('r1', 'path_length'):
    config = dataclasses.replace(toy.CONFIG, loss=LossConfig(**{name: 1.0}))
    with pytest.raises(UserError, match=rf'loss\.{name}=1: stage toy (has no logits|defines no path lengths)'):
      programs.build(config, toy.stage(), mesh)


@pytest.fixture(scope='module')
def networks():
  config = tiny.config('reconstruction')
  return compiled.stage(config), compiled.params(config), tiny.batch(config, size=4)


def penalty_gradient(networks, chosen):
  """Gradient of a regulariser by the parameters: the second derivative of the network, by two different arguments.

  Returns it as a function, and the parameters.
  """
  stage, params, batch = networks

  def r1(discriminator):
    images = losses.to_unit_range(batch['target'])[:, None]
    return jnp.mean(regularisation.r1_penalty(discriminator, images, stage))

  def path_length(model):
    return jnp.mean(jnp.square(stage.path_lengths(model, batch, jax.random.split(jax.random.key(2), 4))))

  penalty, side = {'r1': (r1, 'discriminator'), 'path_length': (path_length, 'model')}[chosen]
  return jax.jit(jax.grad(penalty)), params[side]


@pytest.mark.usefixtures('all_platforms')
@pytest.mark.parametrize('chosen', ['r1', 'path_length'])
def test_gradients_of_gradients_are_right_through_our_own_derivatives(networks, chosen):
  """The CPU's operators with derivatives of their own, against XLA's convolutions and automatic derivatives.

  Those are the forms for GPUs, whose program is run on the CPU. (The derivatives of `blur`, which is linear and which
  both have, are in tests/ops/test_resample.py.)
  """
  gradient, params = penalty_gradient(networks, chosen)
  anywhere = [export.DisabledSafetyCheck.platform()]
  of_gpus = export.export(gradient, platforms=('cuda',), disabled_checks=anywhere)(params)
  found, expected = trees.flatten(gradient(params)), trees.flatten(of_gpus.call(params))
  scale = max(np.linalg.norm(array) for array in expected.values())
  assert scale > 1e-3 and any(not np.array_equal(found[path], array) for path, array in expected.items())
  for path, array in expected.items():
    assert np.linalg.norm(found[path] - array) / scale < 1e-4, path
