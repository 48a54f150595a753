"""Official state dicts in and out: sizes, signs, dead tensors, errors."""

import dataclasses

import flax.traverse_util
import jax
import numpy as np
import pytest

from edtalk_jax.config import AudioConfig, ModelConfig, PerceptualConfig
from edtalk_jax.networks import VGG19, Discriminator, EDTalk, direction
from edtalk_jax.networks.audio import AudioToMouth
from edtalk_jax.networks.sync_expert import SyncExpert
from edtalk_jax.weights import from_official, official_layout, to_official
from tests.networks.tiny import CONFIG, apply, images, paths

LIP_POSE = dataclasses.replace(CONFIG, banks=CONFIG.banks[:2], expression_module=False, expression_hidden=128)
LIA = dataclasses.replace(LIP_POSE, banks=(('motion', 5),), head_layers=1)
GENERATORS = {'edtalk': CONFIG, 'lip_pose': LIP_POSE, 'lia': LIA}


def _drawn(module, *inputs, seed: int = 0):
  """Variables of N(0, 1) draws, biases and all, so that no tensor can hide behind a zero."""
  shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
  random = np.random.default_rng(seed)
  return jax.tree.map(lambda s: random.standard_normal(s.shape).astype(np.float32), shapes)


def _edtalk(config: ModelConfig, seed: int = 0):
  image = np.zeros((1, config.image_size, config.image_size, 3), np.float32)
  return _drawn(EDTalk(config), image, image, seed=seed)


def _official_direction(arrays, network: str, code: np.ndarray) -> np.ndarray:
  """The shift as the official code computes it, in NumPy: heads, Householder QR as it comes, product."""
  linear = lambda x, name: x @ arrays[f'{name}.weight'].T / np.sqrt(x.shape[1]) + arrays[f'{name}.bias']
  if network == 'lia':
    weights = code
    for index in range(3):
      weights = linear(weights, f'enc.fc.{index}')
    matrix = arrays['dec.direction.weight']
  else:
    hidden = linear(linear(code, 'fc.0'), 'fc.1')
    heads = ('lip_fc', 'pose_fc', 'exp_fc') if network == 'edtalk' else ('lip_fc', 'pose_fc')
    weights = np.concatenate([linear(linear(hidden, f'{head}.0'), f'{head}.1') for head in heads], axis=1)
    matrix = np.concatenate([arrays[name] for name in arrays if name.startswith('direction_')], axis=1)
  return weights @ np.linalg.qr(matrix + np.float32(1e-8))[0].T


@pytest.mark.parametrize('network', GENERATORS)
def test_export_moves_alike_under_the_official_signs(network):
  config, code = GENERATORS[network], np.random.default_rng(1).standard_normal((3, 12)).astype(np.float32)
  variables, model = _edtalk(config), EDTalk(config)
  weights, basis = apply(model, variables, code, method='motion'), apply(model, variables, method='basis')
  arrays = to_official(variables, config, network)
  ours = direction(weights, basis, config)
  np.testing.assert_allclose(ours, _official_direction(arrays, network, code), rtol=1e-4, atol=1e-4)
  # The signs do matter here: without them the shift would be another.
  raw = official_layout(variables['params'], config, network)
  assert np.abs(ours - _official_direction(raw, network, code)).max() > 0.1


@pytest.mark.parametrize('network', GENERATORS)
def test_import_of_an_export_is_the_same_model(network):
  config, code = GENERATORS[network], np.random.default_rng(2).standard_normal((3, 12)).astype(np.float32)
  variables, model = _edtalk(config), EDTalk(config)
  again, loaded = from_official(to_official(variables, config, network), network)
  assert again == config
  before, after = (
    {path: a for path, a in paths(tree).items() if not path.startswith('navigation/')} for tree in (variables, loaded)
  )
  assert before.keys() == after.keys() and all(np.array_equal(before[path], after[path]) for path in before)
  # Signs have moved between banks and heads: single weights may be negated, the shift is the same.
  shift = lambda v: direction(apply(model, v, code, method='motion'), apply(model, v, method='basis'), config)
  np.testing.assert_allclose(shift(loaded), shift(variables), rtol=1e-4, atol=1e-4)


def test_gradients_have_official_names_without_signs():
  params = _edtalk(CONFIG)['params']
  arrays = official_layout(params, CONFIG, 'edtalk')
  np.testing.assert_array_equal(arrays['direction_exp.weight'], params['navigation']['banks']['expression'])
  head = params['navigation']['heads']['expression']['linear_1']['kernel']
  np.testing.assert_array_equal(arrays['exp_fc.1.weight'].T, head)


@pytest.mark.parametrize('size', [64, 128, 256, 512])
def test_sizes_are_read_from_the_shapes(size):
  config = ModelConfig(
    image_size=size,
    style_dim=20,
    channel_base=512,
    channel_max=16,
    banks=(('mouth', 7), ('pose', 4)),
    trunk_layers=3,
    head_layers=2,
  )
  loaded, variables = from_official(to_official(_edtalk(config), config, 'lip_pose'), 'lip_pose')
  assert loaded == config and variables['params']['generator'][f'rgb_{size}']['bias'].shape == (3,)


def test_discriminator_round_trip():
  config = ModelConfig(image_size=16, channel_base=128, channel_max=16)
  model, image = Discriminator(config), images(3)
  variables = _drawn(model, image)
  arrays = to_official(variables, config, 'discriminator')
  # PyTorch flattens channels first: entry c * 16 + y * 4 + x of the flat layer is our y * 64 + x * 16 + c.
  assert (
    arrays['final_linear.0.weight'][3, 5 * 16 + 2 * 4 + 1]
    == variables['params']['hidden']['kernel'][2 * 64 + 1 * 16 + 5, 3]
  )
  again, loaded = from_official(arrays, 'discriminator')
  assert again == config and jax.tree.all(jax.tree.map(np.array_equal, loaded, dict(variables)))


def test_vgg19_round_trip():
  variables = _drawn(VGG19(0.125), images(0, size=16))
  config, loaded = from_official(to_official(variables, PerceptualConfig(width=0.125), 'vgg19'), 'vgg19')
  assert config.width == 0.125 and jax.tree.all(jax.tree.map(np.array_equal, loaded, dict(variables)))


def test_audio_networks_round_trip():
  mel = np.zeros((1, 80, 16), np.float32)
  for network, variables, width in (
    ('audio2lip', _drawn(AudioToMouth(7, 0.125), mel), 0.125),
    ('syncnet', _drawn(SyncExpert(0.0625), mel, np.zeros((1, 5, 96, 96, 3), np.float32)), 0.0625),
  ):
    arrays = to_official(variables, AudioConfig(width=width), network)
    config, loaded = from_official({f'module.{name}': array for name, array in arrays.items()}, network)
    assert config == AudioConfig(width=width)
    assert jax.tree.all(jax.tree.map(np.array_equal, loaded, dict(variables)))
    name = 'audio_encoder.3.conv_block.1.running_var'
    np.testing.assert_array_equal(
      arrays[name],
      variables['batch_stats']['encoder' if network == 'audio2lip' else 'audio']['block_3']['norm']['variance'],
    )
    del arrays[name]
    with pytest.raises(ValueError, match=f'no {network} network: missing {name}; unknown nothing'):
      from_official(arrays, network)


def test_dead_tensors_are_accepted_and_named(caplog):
  arrays = to_official(_edtalk(CONFIG), CONFIG, 'edtalk')
  with caplog.at_level('INFO'):
    from_official(arrays, 'edtalk')
  assert 'dec.fineadainresblock.0.conv1.weight' in caplog.text and 'dec.to_rgb1.bias' in caplog.text
  dropped = {name for name in arrays if 'noise' in name or 'to_rgb1' in name or name.endswith('kernel')}
  from_official({name: array for name, array in arrays.items() if name not in dropped}, 'edtalk')


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda a: a.pop('dec.convs.1.conv.weight'), 'missing dec.convs.1.conv.weight; unknown nothing'),
    (lambda a: a.update(odd=np.zeros(3)), 'missing nothing; unknown odd'),
    (lambda a: a.pop('dec.input.input'), 'this is no lip_pose state dict: .* no tensor dec.input.input'),
    (lambda a: a.update({'fc.0.bias': np.zeros(5)}), r'shapes .* together: fc.0.bias \(5,\), expected \(12,\)$'),
  ],
  ids=['missing', 'unknown', 'no size', 'shape'],
)
def test_what_is_no_such_network_is_an_error(change, message):
  arrays = to_official(_edtalk(LIP_POSE), LIP_POSE, 'lip_pose')
  change(arrays)
  with pytest.raises(ValueError, match=message):
    from_official(arrays, 'lip_pose')


@pytest.mark.parametrize('network', ['edtalk2', ''])
def test_unknown_networks_are_an_error(network):
  with pytest.raises(ValueError, match=f'one of edtalk, lip_pose, lia, .*, audio2lip, syncnet, got {network!r}'):
    from_official({}, network)


def test_other_banks_do_not_fit_the_official_code():
  config = dataclasses.replace(LIP_POSE, banks=(*LIP_POSE.banks, ('eye', 2)))
  with pytest.raises(ValueError, match='banks mouth, pose, eye do not fit lip_pose, which has mouth, pose'):
    to_official(_edtalk(config), config, 'lip_pose')


def test_arrays_of_other_types_become_float32():
  arrays = {name: array.astype(np.float16) for name, array in to_official(_edtalk(LIA), LIA, 'lia').items()}
  _, variables = from_official(arrays, 'lia')
  assert {array.dtype for array in flax.traverse_util.flatten_dict(variables['params']).values()} == {np.dtype('f4')}
