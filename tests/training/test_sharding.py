"""The mesh changes where arrays live, not what they are."""

import collections
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from edtalk_jax import chips, stages
from edtalk_jax.config import Config, MeshConfig, RunConfig, UserError
from edtalk_jax.training import feed, programs, sharding, trees
from tests import tiny

# A mesh adds up the same float32 numbers in another order: at most 7e-6 of the term's whole gradient here, but where a
# unit is so near its kink that it falls to the other side. Of three seeds two have such a one in some of nine terms,
# which makes up to 1.3e-3; a picture left out would make some 3e-2, one of 32.
TOLERANCE = 1e-5
KINK = 5e-3


def terms_and_gradients(config, mesh_config, devices):
  """Every loss term of both updates, and its gradient with respect to what it trains, as host arrays."""
  mesh = sharding.make_mesh(mesh_config, devices)
  stage = stages.build(config)
  parts = programs.build(config, stage, mesh)

  def weighted(params, weight, frozen, batch):
    # One program for all terms: the gradient of each is that of the sum with the weights one and zero. Stopping the
    # gradients at the other network, as the step does, is left to reading the right half of the result.
    terms, images = stage.model_losses(params['model'], params['discriminator'], frozen, batch)
    terms |= stage.discriminator_losses(params['discriminator'], jax.lax.stop_gradient(images))
    means = {name: jnp.mean(values) for name, values in terms.items()}
    return sum(weight[name] * value for name, value in means.items()), means

  gradient = jax.jit(jax.grad(weighted, has_aux=True))
  with jax.set_mesh(mesh):
    state = parts.init(jax.random.key(0))
    params = {'model': state.model, 'discriminator': state.discriminator}
    fixed = (parts.place_frozen(stage.init_frozen()), feed.to_device(tiny.batch(config), sharding.batch_sharding(mesh)))
    names = jax.eval_shape(weighted, params, collections.defaultdict(float), *fixed)[1]
    gradients = {}
    for chosen in names:
      weight = {name: float(name == chosen) for name in names}
      both, terms = jax.device_get(gradient(params, weight, *fixed))
      gradients[chosen] = both['discriminator' if chosen.startswith('discriminator') else 'model']
  return terms, gradients


@pytest.mark.parametrize('stage', ['reconstruction', 'mouth_pose'])
def test_every_loss_term_and_gradient_is_the_same_on_every_mesh(stage):
  # At 32 pixels, maps of 32 and 16 rows are divided and smaller ones are not.
  config = tiny.config(stage, image_size=32 if stage == 'reconstruction' else 16)
  meshes = {
    'reconstruction': (MeshConfig(data=2, fsdp=2, spatial=2),),
    'mouth_pose': (MeshConfig(data=8), MeshConfig(data=2, fsdp=4)),
  }
  devices = jax.devices()
  expected, expected_gradients = terms_and_gradients(config, MeshConfig(), devices[:1])
  assert {'adversarial', 'discriminator_real', 'discriminator_fake'} < set(expected)
  for mesh in meshes[stage]:
    terms, gradients = terms_and_gradients(config, mesh, devices)
    worst = {}
    for name, value in expected.items():
      np.testing.assert_allclose(terms[name], value, rtol=1e-5, err_msg=f'{mesh} {name}')
      flat, wanted = trees.flatten(gradients[name]), trees.flatten(expected_gradients[name])
      # Relative to the whole term: a parameter whose gradient is zero in theory has only rounding.
      scale = max(np.linalg.norm(array) for array in wanted.values())
      worst[name] = max((np.linalg.norm(flat[path] - array) / scale, path) for path, array in wanted.items())
    assert max(worst.values())[0] < KINK, f'{mesh}: {worst}'
    assert np.median([error for error, _ in worst.values()]) < TOLERANCE, f'{mesh}: {worst}'


def test_stddev_groups_span_devices():
  """The same images in another order give other groups, so a per-device statistic would go unnoticed otherwise."""
  config = tiny.config('reconstruction')
  stage = stages.build(config)
  params = stage.init(jax.random.key(0))['discriminator']
  images = jax.random.normal(jax.random.key(1), (8, 1, 16, 16, 3))
  order = np.array([0, 2, 4, 6, 1, 3, 5, 7])  # groups {0, 2, 4, 6}, {1, 3, 5, 7} become {0, 4, 1, 5}, {2, 6, 3, 7}
  real = stage.discriminator_losses(params, {'real': images, 'fake': images})['discriminator_real']
  moved = stage.discriminator_losses(params, {'real': images[order], 'fake': images})['discriminator_real']
  assert np.max(np.abs(real[order] - moved)) > 1e-5


def test_state_is_born_sharded_and_moments_follow_their_parameter():
  config = tiny.config()
  mesh = sharding.make_mesh(MeshConfig(data=2, fsdp=4))
  parts = programs.build(config, stages.build(config), mesh)
  state = parts.init(jax.random.key(0))
  kernel = state.model['generator']['conv_16']['kernel']
  assert kernel.sharding.spec == P(None, None, None, 'fsdp')
  assert kernel.addressable_shards[0].data.shape[3] == kernel.shape[3] // 4
  moment = state.model_moments[0].nu['generator/conv_16/kernel']
  assert moment.sharding == kernel.sharding


def test_first_matching_rule_wins():
  assert sharding.spec('model/generator/rgb_8/conv/kernel', (1, 1, 8, 3)) == P()
  assert sharding.spec('model/generator/conv_8/kernel', (3, 3, 8, 8)) == P(None, None, None, 'fsdp')


def test_parameter_without_a_rule_is_an_error():
  with pytest.raises(KeyError, match='no sharding rule matches model/odd'):
    sharding.tree_sharding({'model': {'odd': jnp.ones(3)}}, sharding.make_mesh(MeshConfig()))


def test_mesh_that_does_not_fill_the_devices_is_one_clear_line():
  with pytest.raises(UserError, match=r'mesh\.data=3, mesh\.fsdp=1, mesh\.spatial=1 do not fill the 8 devices'):
    sharding.make_mesh(MeshConfig(data=3))


def test_fsdp_that_does_not_divide_a_kernel_is_one_clear_line():
  config = tiny.config(channel_max=12)
  mesh = sharding.make_mesh(MeshConfig(data=1, fsdp=8))
  with pytest.raises(UserError, match=r'mesh\.fsdp=8 does not divide axis \d of '):
    programs.build(config, stages.build(config), mesh)


def test_batch_must_divide_over_devices():
  mesh = sharding.make_mesh(MeshConfig(data=2, fsdp=4))
  sharding.check_batch(16, mesh, processes=1)
  with pytest.raises(UserError, match=r'data\.batch_size=12 must be a multiple of the 8 devices'):
    sharding.check_batch(12, mesh, processes=1)


def test_devices_that_share_pictures_count_once():
  mesh = sharding.make_mesh(MeshConfig(data=2, spatial=4))
  sharding.check_batch(2, mesh, processes=1)
  with pytest.raises(UserError, match=r'data\.batch_size=3 must be a multiple of the 2 groups of devices that share'):
    sharding.check_batch(3, mesh, processes=1)


def test_pictures_stay_within_a_process():
  sharding.check_pictures(np.array([[[0, 0]], [[1, 1]]]))
  with pytest.raises(UserError, match=r'mesh\.spatial=2 divides pictures over several processes'):
    sharding.check_pictures(np.array([[[0, 1]], [[0, 1]]]))


def test_train_step_on_a_mesh_equals_one_device():
  """The whole fused step, optimisers included: parameters after two steps."""
  config = tiny.config()
  results = []
  every_axis = MeshConfig(data=2, fsdp=2, spatial=2)
  for mesh_config, devices in ((MeshConfig(), jax.devices()[:1]), (every_axis, jax.devices())):
    mesh = sharding.make_mesh(mesh_config, devices)
    stage = stages.build(config)
    parts = programs.build(config, stage, mesh)
    with jax.set_mesh(mesh):
      state, frozen = parts.init(jax.random.key(0)), parts.place_frozen(stage.init_frozen())
      for seed in range(2):
        state, metrics = parts.train(
          state, frozen, feed.to_device(tiny.batch(config, seed=seed), sharding.batch_sharding(mesh))
        )
    results.append(jax.device_get((state, metrics)))
  (one, one_metrics), (many, many_metrics) = results
  assert int(one.step) == int(many.step) == 2
  np.testing.assert_allclose(many_metrics['loss'], one_metrics['loss'], rtol=1e-3)
  # Adam with beta1 = 0 moves every parameter by about lr * sign(gradient): rounding may flip the few that are almost
  # zero, so almost all parameters, not all, must agree.
  for path, array in trees.flatten(one.model).items():
    off = np.abs(array - trees.flatten(many.model)[path]) > 1e-4
    assert off.mean() < 0.05, path


def test_compiler_options_are_the_chips_but_for_those_that_the_configuration_names():
  def options(kind, **run):
    mesh = types.SimpleNamespace(devices=np.array([types.SimpleNamespace(device_kind=kind)]))
    return programs.compiler_options(Config(run=RunConfig(**run)), mesh)

  assert options('cpu') == {}
  (name, value), *more = chips.BY_NAME['v5e'].compiler
  assert options('TPU v5 lite') == {name: value, **dict(more)}
  assert options('TPU v5 lite', compiler=((name, '1'), ('other', '2'))) == {name: '1', **dict(more), 'other': '2'}
