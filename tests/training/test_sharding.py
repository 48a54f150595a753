"""The mesh changes where arrays live, not what they are."""

import json
import pathlib
import re
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from edtalk_jax import chips, stages
from edtalk_jax.config import Config, MeshConfig, RunConfig, UserError
from edtalk_jax.training import programs, sharding, trees
from tests import compiled, tiny

# Of the largest number of an array. Measured: 7e-15, which is rounding; one example of eight left out makes 1e-1.
TOLERANCE = 1e-9


@pytest.fixture(scope='module')
def compared():
  """What `mesh_case` prints."""
  command = [sys.executable, '-m', 'tests.training.mesh_case']
  done = subprocess.run(command, capture_output=True, text=True, cwd=pathlib.Path(__file__).parents[2])
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


@pytest.mark.integration
@pytest.mark.parametrize('mesh', ['8x1x1', '2x4x1', '2x2x2'])
def test_two_train_steps_on_a_mesh_equal_those_on_one_device(compared, mesh):
  """Parameters, moments (the gradients), EMA, counters and metrics, every one of them."""
  largest, errors = compared['largest'], compared['errors'][mesh]
  assert compared['types'] == ['float64', 'int32']  # nothing is rounded to float32 on the way
  assert errors.keys() == largest.keys()
  off = {path: error / largest[path] if largest[path] else error for path, error in errors.items()}
  assert {path: error for path, error in off.items() if not error < TOLERANCE} == {}


def test_the_compared_steps_move_every_parameter_of_both_networks(compared):
  """An array whose gradient is zero, or too small to be seen in it, could not differ."""
  largest = compared['largest']
  moments = {path: value for path, value in largest.items() if '_moments/' in path and '/count' not in path}
  assert {path.split('/')[1] for path in moments} == {'model_moments', 'discriminator_moments'}
  assert min(moments.values()) > 1e-8, min(moments, key=moments.get)
  terms = {'self_l1', 'self_perceptual', 'cross_l1', 'cross_perceptual', 'adversarial', 'mouth_space', 'pose_space'}
  terms |= {'correlation', 'discriminator_real', 'discriminator_fake', 'grad_norm/model', 'grad_norm/discriminator'}
  assert {f'1/{name}' for name in terms} <= {path for path, value in largest.items() if value > 1e-3}
  assert (largest['0/step'], largest['0/skipped']) == (2, 0)


@pytest.mark.parametrize('mesh', ['8x1x1', '2x4x1', '2x2x2'])
def test_the_state_stays_where_it_was_born(compared, mesh):
  assert compared['moved'][mesh] == []


def test_stddev_groups_span_devices():
  """The same images in another order give other groups, so a per-device statistic would go unnoticed otherwise."""
  config = tiny.config('reconstruction')
  params = compiled.params(config)['discriminator']
  losses = jax.jit(compiled.stage(config).discriminator_losses)
  images = jax.random.normal(jax.random.key(1), (8, 1, 16, 16, 3))
  order = np.array([0, 2, 4, 6, 1, 3, 5, 7])  # groups {0, 2, 4, 6}, {1, 3, 5, 7} become {0, 4, 1, 5}, {2, 6, 3, 7}
  real = losses(params, {'real': images, 'fake': images})['discriminator_real']
  moved = losses(params, {'real': images[order], 'fake': images})['discriminator_real']
  assert np.max(np.abs(real[order] - moved)) > 1e-5


def test_state_is_born_sharded_and_moments_follow_their_parameter():
  config = tiny.config()
  mesh = sharding.make_mesh(MeshConfig(data=2, fsdp=4))
  parts = programs.build(config, stages.build(config), mesh)
  state = parts.init(jax.random.key(0))
  kernel = state.model['generator']['conv_16']['kernel']
  assert kernel.sharding.spec == P(None, None, None, 'fsdp')
  assert kernel.addressable_shards[0].data.shape[3] == kernel.shape[3] // 4
  whole = re.compile(r'/rgb_|/flow_\d+/kernel|/logit/|/heads/')  # of few channels
  for name in ('model', 'discriminator'):
    moments = getattr(state, f'{name}_moments')[0].nu
    for path, leaf in trees.flatten(getattr(state, name)).items():
      divided = path.endswith('/kernel') and not whole.search(f'/{path}')
      assert leaf.addressable_shards[0].data.size * (4 if divided else 1) == leaf.size, path
      assert moments[path].sharding == leaf.sharding, path


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


def test_compiler_options_are_the_chips_but_for_those_that_the_configuration_names():
  def options(kind, **run):
    mesh = types.SimpleNamespace(devices=np.array([types.SimpleNamespace(device_kind=kind)]))
    return programs.compiler_options(Config(run=RunConfig(**run)), mesh)

  assert options('cpu') == {}
  (name, value), *more = chips.BY_NAME['v5e'].compiler
  assert options('TPU v5 lite') == {name: value, **dict(more)}
  assert options('TPU v5 lite', compiler=((name, '1'), ('other', '2'))) == {name: '1', **dict(more), 'other': '2'}
