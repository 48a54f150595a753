"""Single layers at toy size against the official code: outputs and vector-Jacobian products."""

import functools
import json
import math
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import ops
from edtalk_jax.networks import audio
from tests.shared import conventions, parity_dir

pytestmark = pytest.mark.release


def _to_ours(name: str, value: np.ndarray) -> jax.Array:
  """Official layout to NHWC / HWIO; linear weights, vectors and grids stay as they are."""
  if name == 'x/grid':
    return jnp.asarray(value)
  if value.ndim == 5:  # modulated convolutions carry a leading 1
    value = value[0]
  if value.ndim == 4 and value.shape[:1] == (1,) and value.shape[2:] == (1, 1):
    return jnp.asarray(value.reshape(-1))  # bias
  if value.ndim == 4:
    return jnp.asarray(value.transpose(2, 3, 1, 0) if name.startswith('w/') else value.transpose(0, 2, 3, 1))
  return jnp.asarray(value)


def _to_official(name: str, value: np.ndarray, like: np.ndarray) -> np.ndarray:
  if value.ndim == 4 and name != 'x/grid':
    value = value.transpose(3, 2, 0, 1) if name.startswith('w/') else value.transpose(0, 3, 1, 2)
  return value.reshape(like.shape)


def _equalized(kernel):
  return kernel / math.sqrt(math.prod(kernel.shape[:3]))


def _style(v, prefix='w/'):
  return v['x/style'] @ v[prefix + 'modulation.weight'].T / math.sqrt(12) + v[prefix + 'modulation.bias']


def _linear(v):
  return v['x/x'] @ v['w/weight'].T / math.sqrt(12)


def _res_block(v):
  y = ops.leaky_relu_scaled(ops.conv(v['x/x'], _equalized(v['w/conv1.0.weight'])), v['w/conv1.1.bias'])
  y = ops.leaky_relu_scaled(ops.conv_downsample(y, _equalized(v['w/conv2.1.weight'])), v['w/conv2.2.bias'])
  return (y + ops.conv_downsample(v['x/x'], _equalized(v['w/skip.1.weight']))) / math.sqrt(2)


def _styled_conv(v, *, upsample):
  y = ops.modulated_conv(v['x/x'], _equalized(v['w/conv.weight']), _style(v, 'w/conv.'), upsample=upsample)
  return ops.leaky_relu_scaled(y, v['w/activate.bias'])


def _to_rgb(v):
  y = ops.leaky_relu_scaled(ops.conv(v['x/x'], _equalized(v['w/conv.0.weight'])), v['w/conv.1.bias'])
  return y + v['w/bias'] + ops.upsample(v['x/skip'])


def _to_flow(v):
  style = _style(v, 'w/conv.')
  raw = ops.modulated_conv(v['x/x'], _equalized(v['w/conv.weight']), style, demodulate=False) + v['w/bias']
  if 'x/skip' in v:
    raw += ops.upsample(v['x/skip'])
  mask = jax.nn.sigmoid(raw[..., 2:])
  warped = ops.warp(v['x/feat'], jnp.tanh(raw[..., :2])) * mask
  return warped, warped + v['x/x'] * (1 - mask), raw


def _expression_block(v):
  hidden = jax.nn.relu(v['x/z'] @ v['w/norm2.mlp_shared.0.weight'].T + v['w/norm2.mlp_shared.0.bias'])
  gamma = hidden @ v['w/norm2.mlp_gamma.weight'].T + v['w/norm2.mlp_gamma.bias']
  beta = hidden @ v['w/norm2.mlp_beta.weight'].T + v['w/norm2.mlp_beta.bias']
  y = ops.instance_norm(ops.conv(v['x/x'], v['w/conv2.weight']) + v['w/conv2.bias'])
  return v['x/x'] + y * (1 + gamma[:, None, None]) + beta[:, None, None]


def _bank(v):
  signs = ops.householder_signs(np.asarray(jax.lax.stop_gradient(v['w/weight'])))
  return v['x/alpha'] @ ops.orthonormal_basis(v['w/weight'] * signs).T


def _audio_conv(v, *, stride, padding, residual, train):
  block = audio.ConvBlock(audio.Layer(v['w/conv_block.0.bias'].size, 3, stride, padding, residual))
  params = {
    'kernel': v['w/conv_block.0.weight'],
    'bias': v['w/conv_block.0.bias'],
    'norm': {'scale': v['w/conv_block.1.weight'], 'bias': v['w/conv_block.1.bias']},
  }
  running = {'mean': v['w/conv_block.1.running_mean'], 'variance': v['w/conv_block.1.running_var']}
  return block.apply({'params': params, 'batch_stats': {'norm': running}}, v['x/x'], train=train)


LAYERS: dict[str, Callable] = {
  'blur_pad22': lambda v: ops.blur(v['x/x'], (2, 2)),
  'blur_pad11_up2': lambda v: 4 * ops.blur(v['x/x'], (1, 1)),
  'upsample': lambda v: ops.upsample(v['x/x']),
  'equal_linear': lambda v: _linear(v) + v['w/bias'],
  'equal_linear_lrelu': lambda v: ops.leaky_relu_scaled(_linear(v), v['w/bias']),
  'conv_layer_1x1': lambda v: ops.leaky_relu_scaled(ops.conv(v['x/x'], _equalized(v['w/0.weight'])), v['w/1.bias']),
  'conv_layer_down3': lambda v: ops.leaky_relu_scaled(
    ops.conv_downsample(v['x/x'], _equalized(v['w/1.weight'])), v['w/2.bias']
  ),
  'conv_layer_down1_linear': lambda v: ops.conv_downsample(v['x/x'], _equalized(v['w/1.weight'])),
  'res_block': _res_block,
  'modconv_nodemod': lambda v: ops.modulated_conv(v['x/x'], _equalized(v['w/weight']), _style(v), demodulate=False),
  'styled_conv': lambda v: _styled_conv(v, upsample=False),
  'styled_conv_up': lambda v: _styled_conv(v, upsample=True),
  'to_rgb': _to_rgb,
  'to_flow': _to_flow,
  'to_flow_noskip': _to_flow,
  'exp_block': _expression_block,
  'bank_lipnonlip': _bank,
  'audio_conv_eval': functools.partial(_audio_conv, stride=1, padding=1, residual=True, train=False),
  'audio_conv_train': functools.partial(_audio_conv, stride=(3, 2), padding=1, residual=False, train=True),
  'grid_sample': lambda v: ops.grid_sample(v['x/feat'], v['x/grid']),
  'antialias_0.5': lambda v: ops.antialias_downsample(v['x/x'], 2),
  'antialias_0.25': lambda v: ops.antialias_downsample(v['x/x'], 4),
  'antialias_0.125': lambda v: ops.antialias_downsample(v['x/x'], 8),
}


@pytest.fixture(autouse=True)
def rank_promotion():
  """The layers above are put together in this file as the official code has them, which promotes ranks."""
  with jax.numpy_rank_promotion('allow'):
    yield


@pytest.fixture(scope='module')
def pack():
  case = dict(np.load(parity_dir() / 'case_ops.npz'))
  return case, json.loads((parity_dir() / 'tolerances.json').read_text())['case_ops'], conventions(parity_dir())


@pytest.mark.parametrize('layer', LAYERS)
def test_layer_matches_official_outputs_and_gradients(layer, pack):
  case, tolerances, helpers = pack
  prefix = f'in/{layer}/'
  official = {key.removeprefix(prefix): value for key, value in case.items() if key.startswith(prefix)}
  ours = {name: _to_ours(name, value) for name, value in official.items()}

  def outputs(values):
    out = LAYERS[layer](values)
    return out if isinstance(out, tuple) else (out,)

  out, pull_back = jax.vjp(outputs, ours)
  cotangents = tuple(_to_ours('x/', case[f'out/{layer}/cotangent{i}']) for i in range(len(out)))
  gradients = pull_back(cotangents)[0]
  got = {f'{layer}/out{i}': _to_official('', np.asarray(y), case[f'out/{layer}/out{i}']) for i, y in enumerate(out)}
  for name, gradient in gradients.items():
    if f'out/{layer}/vjp/{name}' in case:
      got[f'{layer}/vjp/{name}'] = _to_official(name, np.asarray(gradient), official[name])
  # Running statistics: tests/parity/test_audio.py.
  expected = {key for key in tolerances if re.match(rf'{layer}/(?!cotangent|buffer_after)', key)}
  assert expected == set(got)
  failures = {key: helpers.compare(value, case[f'out/{key}'], tolerances[key]) for key, value in got.items()}
  assert not {key: error for key, (error, ok) in failures.items() if not ok}
