"""Official files to run folders and back: complete, bit-equal where tensors are shared, one line for what is wrong."""

import dataclasses
import re

import jax
import numpy as np
import pytest

import edtalk_jax
from edtalk_jax import cli
from edtalk_jax.animation import presets
from edtalk_jax.config import AudioConfig, Config, ModelConfig, PerceptualConfig, RunConfig, UserError
from edtalk_jax.exchange import exporting, importing
from edtalk_jax.exchange.stages import network_of
from edtalk_jax.networks import VGG19, Discriminator, EDTalk
from edtalk_jax.networks.audio import AudioToMouth
from edtalk_jax.training import checkpoint, hand_off, integrity, record
from edtalk_jax.weights import files, load_vgg19, safetensors_file, to_official, torch_writer
from edtalk_jax.weights.official_names import inert
from tests.networks.tiny import CONFIG
from tests.weights.test_official import _drawn, _edtalk

LIP_POSE = dataclasses.replace(CONFIG, banks=CONFIG.banks[:2], expression_module=False, expression_hidden=128)
LIA = dataclasses.replace(LIP_POSE, banks=(('motion', 20),), style_dim=24, head_layers=1)
MODELS = {'edtalk': (CONFIG, 'expression'), 'lip_pose': (LIP_POSE, 'mouth_pose'), 'lia': (LIA, 'reconstruction')}


def official(config: ModelConfig, network: str, seed: int = 0) -> dict[str, np.ndarray]:
  """A state dict of official names that did not come from our export: its banks have Householder's signs at random."""
  arrays, rng = to_official(_edtalk(config, seed), config, network), np.random.default_rng(seed)
  for name in arrays:
    if 'direction' in name:
      arrays[name] = rng.standard_normal(arrays[name].shape).astype(np.float32)
  return {name: arrays[name] for name in rng.permutation(list(arrays))}


def _discriminator(config: ModelConfig) -> dict[str, np.ndarray]:
  image = np.zeros((1, config.image_size, config.image_size, 3), np.float32)
  return to_official(_drawn(Discriminator(config), image), config, 'discriminator')


@pytest.mark.parametrize('network', MODELS)
def test_a_file_comes_back_bit_by_bit(tmp_path, network):
  config, stage = MODELS[network]
  arrays = {'gen': official(config, network), 'dis': _discriminator(config)}
  torch_writer.write(tmp_path / 'in.pt', arrays)
  done = importing.import_weights([tmp_path / 'in.pt'], tmp_path / 'run')
  assert done.config.run.stage == stage and done.config.model == config
  dead = inert(network, config)
  assert set(done.left_out[network]) == set(dead)
  assert done.networks == {
    network: len(arrays['gen']) - len(dead),
    'discriminator': len(arrays['dis']) - len(inert('discriminator', config)),
  }
  exporting.export_weights(str(tmp_path / 'run'), tmp_path / 'out.pt')
  back = files.contents(tmp_path / 'out.pt').groups
  for group, state in arrays.items():
    assert set(back[group]) == set(state)
    for name, array in state.items():
      if name in done.left_out[network] and not name.endswith('kernel'):
        assert not np.any(back[group][name]), name  # dead, and written as zeros
      else:
        np.testing.assert_array_equal(np.asarray(back[group][name]), array, err_msg=name)


def test_a_safetensors_export_imports_as_the_same_model(tmp_path):
  torch_writer.write(tmp_path / 'in.pt', {'gen': official(LIP_POSE, 'lip_pose')})
  importing.import_weights([tmp_path / 'in.pt'], tmp_path / 'run')
  exporting.export_weights(str(tmp_path / 'run'), tmp_path / 'out.safetensors')
  assert safetensors_file.read(tmp_path / 'out.safetensors')[1] == {'network': 'lip_pose'}
  importing.import_weights([tmp_path / 'out.safetensors'], tmp_path / 'again')
  first, again = (hand_off.read_run(str(tmp_path / name)).params for name in ('run', 'again'))
  assert jax.tree.all(jax.tree.map(np.array_equal, first, again))


@pytest.fixture(scope='module')
def imported(tmp_path_factory):
  """An import by the command line: its state dict is not in a group, and DataParallel's, as some released ones are."""
  folder = tmp_path_factory.mktemp('imported')
  arrays = official(CONFIG, 'edtalk')
  np.savez(folder / 'in.npz', **{f'module.{name}': array for name, array in arrays.items()})
  cli.dispatch(['import-weights', str(folder / 'in.npz'), '--out', str(folder / 'run')])
  return folder / 'run', arrays


def test_the_model_is_loaded_and_moves_as_the_official_file_says(imported):
  folder, arrays = imported
  model = edtalk_jax.load(str(folder))
  assert model.banks == ('mouth', 'pose', 'expression') and model.step == 0
  images = np.random.default_rng(1).integers(256, size=(2, 16, 16, 3), dtype=np.uint8)
  motion, source = model.motion(images), model.encode(images[0])
  assert {name: values.shape for name, values in motion.items()} == {
    'mouth': (2, 4),
    'pose': (2, 3),
    'expression': (2, 2),
  }
  # The heads as the official code applies them, to our encoder's code.
  linear = lambda x, name: x @ arrays[f'{name}.weight'].T / np.sqrt(x.shape[1]) + arrays[f'{name}.bias']
  hidden = linear(linear(np.asarray(source.code), 'fc.0'), 'fc.1')
  expected = linear(linear(hidden, 'exp_fc.0'), 'exp_fc.1')
  np.testing.assert_allclose(source.motion['expression'], expected, rtol=1e-4, atol=1e-4)
  assert model.generate(source, motion).shape == (2, 16, 16, 3)


def test_the_run_says_where_it_is_from(imported):
  folder, _ = imported
  opened = hand_off.open_run(str(folder))
  said = integrity.about(opened.path)['run']['imported']
  assert said['networks'] == ['edtalk'] and len(said['files']['in.npz']) == 64  # its SHA-256
  assert 'dec.to_rgb1.bias' in said['left_out']['edtalk']
  assert all(path.startswith('model/') for path in opened.arrays)  # a later stage draws its discriminator


def test_a_later_stage_takes_the_model_over(imported):
  folder, arrays = imported
  draw = lambda shape: jax.numpy.zeros(shape.shape, shape.dtype)
  image = np.zeros((1, 16, 16, 3), np.float32)
  fresh = {
    'model': jax.eval_shape(EDTalk(CONFIG).init, jax.random.key(0), image, image)['params'],
    'discriminator': jax.eval_shape(Discriminator(CONFIG).init, jax.random.key(0), image)['params'],
  }
  params, report = hand_off.hand_off(jax.tree.map(draw, fresh), hand_off.open_run(str(folder)))
  assert not report.unused and all(path.startswith('discriminator/') for path in report.new)
  np.testing.assert_array_equal(params['model']['navigation']['trunk']['linear_0']['kernel'].T, arrays['fc.0.weight'])


def test_the_folder_of_a_run_is_not_overwritten(imported, tmp_path):
  folder, _ = imported
  with pytest.raises(UserError, match='holds a run or weights already; choose another --out'):
    importing.import_weights([tmp_path / 'absent.pt'], folder)


def test_vgg19_becomes_a_file_for_the_perceptual_loss(tmp_path, capsys):
  shapes = jax.eval_shape(VGG19().init, jax.random.key(0), np.zeros((1, 16, 16, 3), np.float32))
  variables = jax.tree.map(lambda s: np.arange(s.size, dtype=np.float32).reshape(s.shape) / s.size, shapes)
  arrays = to_official(variables, PerceptualConfig(), 'vgg19')
  arrays = {re.sub(r'vgg\.slice\d', 'features', name): array for name, array in arrays.items()}  # torchvision's names
  torch_writer.write(tmp_path / 'vgg19.pth', {'state_dict': {**arrays, 'features.30.bias': np.zeros(2, np.float32)}})
  cli.dispatch(['import-weights', str(tmp_path / 'vgg19.pth'), '--out', str(tmp_path / 'vgg')])
  printed = capsys.readouterr().out
  assert 'vgg19: 26 tensors placed, 1 left out' in printed
  assert f'perceptual.weights={tmp_path}/vgg/vgg19.safetensors' in printed
  loaded = load_vgg19(tmp_path / 'vgg/vgg19.safetensors')
  assert jax.tree.all(jax.tree.map(np.array_equal, loaded, dict(variables)))


def _audio(mouth: int = 4) -> dict[str, np.ndarray]:
  """Audio2Lip at a sixteenth of its width; variances are positive."""
  shapes = jax.eval_shape(AudioToMouth(mouth, 0.0625).init, jax.random.key(0), np.zeros((1, 80, 16), np.float32))
  rng = np.random.default_rng(3)
  variables = jax.tree.map(lambda s: rng.uniform(0.1, 1, s.shape).astype(np.float32), shapes)
  return to_official(variables, AudioConfig(width=0.0625), 'audio2lip')


def test_audio2lip_beside_a_generator_makes_a_model_that_hears(tmp_path):
  generator, audio = official(CONFIG, 'edtalk'), _audio()
  torch_writer.write(tmp_path / 'EDTalk.pt', {'gen': generator})
  torch_writer.write(tmp_path / 'Audio2Lip.pt', {'audio2lip': audio})
  done = importing.import_weights([tmp_path / 'Audio2Lip.pt', tmp_path / 'EDTalk.pt'], tmp_path / 'run')
  assert done.config.run.stage == 'audio_to_mouth' and done.config.model == CONFIG
  assert done.networks['audio2lip'] == 13 * 6 + 2 and len(done.left_out['audio2lip']) == 13
  heard = edtalk_jax.load(str(tmp_path / 'run')).motion_from_audio(np.zeros(16000, np.float32), 16000)
  assert heard['mouth'].shape == (25, 4)
  exporting.export_weights(str(tmp_path / 'run'), tmp_path / 'out.pt')
  back = files.contents(tmp_path / 'out.pt').groups
  for name, array in audio.items():
    np.testing.assert_array_equal(np.asarray(back['audio2lip'][name]), array, err_msg=name)
  np.testing.assert_array_equal(np.asarray(back['gen']['fc.0.weight']), generator['fc.0.weight'])


def test_an_audio2lip_of_another_mouth_is_an_error(tmp_path):
  torch_writer.write(tmp_path / 'a.pt', {'gen': official(CONFIG, 'edtalk')})
  torch_writer.write(tmp_path / 'b.pt', {'audio2lip': _audio(5)})
  with pytest.raises(UserError, match='audio2lip drives a mouth bank of 5, the generator has one of 4'):
    importing.import_weights([tmp_path / 'a.pt', tmp_path / 'b.pt'], tmp_path / 'run')


def test_a_network_in_two_files_is_an_error(tmp_path):
  for name in ('a.pt', 'b.pt'):
    torch_writer.write(tmp_path / name, {'gen': official(LIP_POSE, 'lip_pose')})
  with pytest.raises(UserError, match=r'b\.pt: lip_pose is in .*a\.pt already'):
    importing.import_weights([tmp_path / 'a.pt', tmp_path / 'b.pt'], tmp_path / 'run')


EMOTIONS = {'neutral': [[1.0, 2.0]], 'happy': [[3.0, 2.5]]}


def _presets(folder, **changes):
  folder.mkdir()
  for name, weights in (EMOTIONS | changes).items():
    if weights is not None:
      np.save(folder / f'{name}.npy', np.asarray(weights, np.float32))
  return str(folder)


def test_released_presets_come_along(tmp_path):
  torch_writer.write(tmp_path / 'x.pt', {'gen': official(CONFIG, 'edtalk')})
  folder = _presets(tmp_path / 'presets')
  importing.import_weights([tmp_path / 'x.pt'], tmp_path / 'run', presets=folder)
  found = presets.read(tmp_path / 'run', edtalk_jax.load(str(tmp_path / 'run')))
  np.testing.assert_array_equal(found.mix('happy'), EMOTIONS['happy'])  # as the official demos set it
  np.testing.assert_array_equal(found.mix('happy:0.5'), [[2.0, 2.25]])


@pytest.mark.parametrize(
  ('network', 'changes', 'message'),
  [
    ('edtalk', {'neutral': None}, 'there is no neutral.npy'),
    ('edtalk', {'sad': [[1.0, 2.0, 3.0]]}, r'sad.npy: float32\[1, 3\], expected 2 finite expression weights'),
    ('edtalk', {'sad': [np.inf, 0.0]}, 'expected 2 finite'),
    ('lip_pose', {}, 'the model has no expression space'),
  ],
)
def test_wrong_presets_are_one_line_and_leave_nothing(tmp_path, network, changes, message):
  torch_writer.write(tmp_path / 'x.pt', {'gen': official(MODELS[network][0], network)})
  with pytest.raises(UserError, match=message):
    importing.import_weights([tmp_path / 'x.pt'], tmp_path / 'run', presets=_presets(tmp_path / 'p', **changes))
  assert not (tmp_path / 'run').exists()


def _without(arrays, name):
  return {key: array for key, array in arrays.items() if key != name}


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda a: {'gen': _without(a, 'direction_exp.weight')}, r'missing direction_exp\.weight; unknown nothing'),
    (lambda a: {'gen': a | {'lip_fc.7.bias': np.zeros(3, np.float32)}}, r'missing nothing; unknown lip_fc\.7\.bias'),
    (lambda a: {'gen': a | {'fc.0.bias': np.zeros(5, np.float32)}}, r'fc\.0\.bias \(5,\), expected \(12,\)'),
    (lambda a: {'gen': a | {'fc.0.bias': np.full(12, np.nan, np.float32)}}, 'linear_0/bias holds numbers that are not'),
    (lambda a: {'gen': a, 'other': a}, 'it holds two networks edtalk'),
    (lambda a: {'dis': _discriminator(CONFIG)}, 'discriminator make no run; give one generator'),
    (lambda a: {'gen': a, 'dis': _discriminator(dataclasses.replace(CONFIG, channel_max=8))}, 'do not belong together'),
    (lambda a: {'g_ema': {'conv.weight': np.zeros(3, np.float32)}}, r'none of edtalk, .*first tensor is conv\.weight'),
    (
      lambda a: {'state_dict': {'face_decoder_blocks.0.0.weight': np.zeros(3, np.float32)}},
      "it is Wav2Lip's generator",
    ),
  ],
  ids=['missing', 'unknown', 'shape', 'nan', 'twice', 'alone', 'sizes', 'other', 'wav2lip'],
)
def test_a_wrong_file_says_what_differs(tmp_path, change, message):
  torch_writer.write(tmp_path / 'x.pt', change(official(CONFIG, 'edtalk')))
  with pytest.raises(UserError, match=message) as error:
    importing.import_weights([tmp_path / 'x.pt'], tmp_path / 'run')
  assert str(error.value).startswith(f'{tmp_path}/x.pt: ') and '\n' not in str(error.value)
  assert not (tmp_path / 'run').exists()


def test_another_kind_than_the_file_is_an_error(tmp_path):
  torch_writer.write(tmp_path / 'x.pt', {'gen': official(LIP_POSE, 'lip_pose')})
  with pytest.raises(UserError, match=r'this is no edtalk state dict: .*exp_fc'):
    importing.import_weights([tmp_path / 'x.pt'], tmp_path / 'run', kind='edtalk')


def test_a_missing_file_is_one_line(tmp_path, capsys):
  with pytest.raises(SystemExit) as stop:
    cli.main(['import-weights', str(tmp_path / 'absent.pt'), '--out', str(tmp_path / 'run')])
  assert stop.value.code == 2
  assert capsys.readouterr().err == f'error: {tmp_path}/absent.pt: No such file or directory\n'


@pytest.mark.parametrize(
  ('banks', 'network'),
  [
    (CONFIG.banks, 'edtalk'),
    (LIP_POSE.banks, 'lip_pose'),
    (LIA.banks, 'lia'),
    ((*LIP_POSE.banks, ('eye', 2)), None),
    (LIP_POSE.banks[::-1], None),
  ],
)
def test_the_banks_say_which_official_generator_a_model_is(banks, network):
  expression = 'expression' in dict(banks)
  config = dataclasses.replace(CONFIG, style_dim=24, banks=banks, expression_module=expression)
  assert network_of(config) == network


def test_a_run_without_a_generator_is_one_line(tmp_path):
  config = Config(run=RunConfig(stage='sync_expert'), model=CONFIG, perceptual=PerceptualConfig(scales=(1.0,)))
  content = record.describe(config, {'stage': 'sync_expert'})
  checkpoint.write(tmp_path, content, {'model': {'sync_expert': {'bias': jax.numpy.zeros(3)}}})
  with pytest.raises(UserError, match='no official generator is like this run of stage sync_expert'):
    exporting.export_weights(str(tmp_path), tmp_path / 'x.pt')


def test_an_export_names_its_formats(tmp_path):
  with pytest.raises(UserError, match=r'expected a file that ends in \.pt, \.pth, \.safetensors'):
    exporting.export_weights(str(tmp_path), tmp_path / 'x.onnx')
