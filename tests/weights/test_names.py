"""Which of our arrays has which official name, where two of one shape could be taken for each other."""

import jax
import numpy as np
import pytest

from edtalk_jax.config import ModelConfig
from edtalk_jax.networks.audio import AudioToMouth
from edtalk_jax.weights import from_official, official_names, to_official

CONFIG = ModelConfig(
  image_size=16, banks=(('mouth', 20), ('pose', 6), ('expression', 10)), trunk_layers=4, expression_module=True
)
# The official code's attributes; levels and blocks are counted from their beginnings there. Parity tests confirm them.
NAMES = {
  'enc.net_app.convs.0.0.weight': 'encoder/stem/kernel',
  'enc.net_app.convs.0.1.bias': 'encoder/stem/bias',
  'enc.net_app.convs.1.conv1.0.weight': 'encoder/block_8/conv_0/kernel',
  'enc.net_app.convs.1.conv1.1.bias': 'encoder/block_8/conv_0/bias',
  'enc.net_app.convs.1.conv2.1.weight': 'encoder/block_8/conv_1/kernel',
  'enc.net_app.convs.1.conv2.2.bias': 'encoder/block_8/conv_1/bias',
  'enc.net_app.convs.1.skip.1.weight': 'encoder/block_8/skip/kernel',
  'enc.net_app.convs.2.conv1.0.weight': 'encoder/block_4/conv_0/kernel',
  'enc.net_app.convs.3.weight': 'encoder/code/kernel',
  'fc.0.weight': 'navigation/trunk/linear_0/kernel',
  'fc.3.bias': 'navigation/trunk/linear_3/bias',
  'lip_fc.2.weight': 'navigation/heads/mouth/linear_2/kernel',
  'pose_fc.2.weight': 'navigation/heads/pose/linear_2/kernel',
  'exp_fc.0.bias': 'navigation/heads/expression/linear_0/bias',
  'dec.input.input': 'generator/constant',
  'dec.conv1.conv.weight': 'generator/conv_4/kernel',
  'dec.conv1.activate.bias': 'generator/conv_4/bias',
  'dec.conv1.conv.modulation.weight': 'generator/conv_4/style/kernel',
  'dec.convs.0.conv.weight': 'generator/up_8/kernel',
  'dec.convs.1.conv.weight': 'generator/conv_8/kernel',
  'dec.convs.2.conv.modulation.bias': 'generator/up_16/style/bias',
  'dec.to_flows.0.conv.weight': 'generator/flow_8/kernel',
  'dec.to_flows.1.bias': 'generator/flow_16/bias',
  'dec.to_rgbs.0.conv.0.weight': 'generator/rgb_8/conv/kernel',
  'dec.to_rgbs.0.conv.1.bias': 'generator/rgb_8/conv/bias',
  'dec.to_rgbs.0.bias': 'generator/rgb_8/bias',
  'dec.fineadainresblock.0.conv2.weight': 'generator/expression_8/kernel',
  'dec.fineadainresblock.0.norm2.mlp_shared.0.weight': 'generator/expression_8/norm/hidden/kernel',
  'dec.fineadainresblock.0.norm2.mlp_gamma.weight': 'generator/expression_8/norm/scale/kernel',
  'dec.fineadainresblock.0.norm2.mlp_beta.bias': 'generator/expression_8/norm/shift/bias',
}


@pytest.mark.parametrize('name', NAMES)
def test_arrays_of_the_face_animator_have_their_official_names(name):
  paths = {entry.name: entry.path for entry in official_names.entries('edtalk', CONFIG)}
  assert paths[name] == NAMES[name]


def test_layers_of_the_audio_encoder_are_told_apart():
  shapes = jax.eval_shape(AudioToMouth(20, 1 / 8).init, jax.random.key(0), np.zeros((1, 80, 16), np.float32))
  blank = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
  marks = {'1.weight': 2.0, '1.bias': 3.0, '1.running_mean': 4.0, '1.running_var': 5.0, '0.bias': 6.0}
  arrays = to_official(blank, None, 'audio2lip')
  for name, array in arrays.items():
    block, _, part = name.partition('.conv_block.')
    arrays[name] = np.full_like(array, marks.get(part, 0) if part else 0)
  _, found = from_official(arrays, 'audio2lip')
  for block, statistics in found['batch_stats']['encoder'].items():
    layer = found['params']['encoder'][block]
    numbers = [layer['norm']['scale'], layer['norm']['bias'], *map(statistics['norm'].get, ('mean', 'variance'))]
    assert [float(np.unique(array).item()) for array in [*numbers, layer['bias']]] == [2, 3, 4, 5, 6], block
