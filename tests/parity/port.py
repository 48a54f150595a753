"""Our generators with official weights, and everything that they compute, under the official code's names."""

import functools

import jax
import numpy as np

from edtalk_jax.networks import EDTalk, directions
from edtalk_jax.weights import from_official
from tests.parity.golden import Case

# What each recorded path is driven by: bank -> image (read by the encoder) or weights given as they are. The order is
# that in which the official code calls the heads; see `ENCODED` for the encoder.
PATHS = {
  'edtalk': {
    'V': {'mouth': 'lip_u8', 'pose': 'pose_u8', 'expression': 'exp_u8'},
    'A_expw': {'mouth': 'lip_weights', 'pose': 'pose_u8', 'expression': 'exp_weights_A'},
    'A_expimg': {'mouth': 'lip_weights', 'pose': 'pose_u8', 'expression': 'exp_u8'},
    'V_expw': {'mouth': 'lip_u8', 'pose': 'pose_u8', 'expression': 'exp_weights_V'},
  },
  'lip_pose': {
    'forward': {'mouth': 'lip_u8', 'pose': 'lip_u8'},
    'V': {'pose': 'pose_u8', 'mouth': 'lip_u8'},
    'A': {'mouth': 'lip_weights', 'pose': 'pose_u8'},
  },
}
# Where the official code encodes the drivers in another order than it calls their heads.
ENCODED = {'A_expimg': ('exp_u8', 'pose_u8')}
HEADS = {'mouth': 'lip_fc', 'pose': 'pose_fc', 'expression': 'exp_fc'}

WITHOUT_COUNTERPART = {
  r'bank_only_exp/.*': 'a QR of the expression bank alone; only experiments of the official code use it',
  r'.*/dec\.fineadainresblock\.\d+\.conv2/.*': 'includes the bias that the next norm subtracts, which we do not have',
}


@functools.partial(jax.jit, static_argnames='model')
def encode(model, variables, images):
  (code, features), state = model.apply(
    variables, images, method='encode', mutable=['intermediates'], capture_intermediates=True
  )
  return code, features, state['intermediates']['encoder']


@functools.partial(jax.jit, static_argnames='model')
def motion(model, variables, code):
  weights, state = model.apply(variables, code, method='motion', mutable=['intermediates'], capture_intermediates=True)
  return weights, state['intermediates']['navigation']['trunk']['__call__'][0]


@functools.partial(jax.jit, static_argnames='model')
def decode(model, variables, latent, features, expression):
  image, state = model.apply(
    variables, latent, features, expression, method='decode', mutable=['intermediates'], capture_intermediates=True
  )
  return image, state['intermediates']['generator']


def _encoder_taps(taps, size):
  """Official names of the encoder's layers."""
  ours = ['stem'] + [f'block_{size >> index}' for index in range(1, size.bit_length() - 2)] + ['code']
  return {f'enc.net_app.convs.{index}': taps[name]['__call__'][0] for index, name in enumerate(ours)}


def _generator_taps(taps, size):
  """Official names of the generator's layers."""
  named = {'dec.conv1': taps['conv_4']['__call__'][0]}
  for level in range(size.bit_length() - 3):
    r = 8 << level
    named[f'dec.convs.{2 * level}'] = taps[f'up_{r}']['__call__'][0]
    named[f'dec.convs.{2 * level + 1}'] = taps[f'conv_{r}']['__call__'][0]
    named[f'dec.to_rgbs.{level}'] = taps[f'rgb_{r}']['rgb'][0]
    flow = {name: value[0] for name, value in taps[f'flow_{r}'].items() if name != 'style'}
    named |= {f'dec.to_flows.{level}/{name}': flow[name] for name in ('raw', 'mask', 'warped', 'blended')}
    named[f'dec.to_flows.{level}/sampler'] = np.tanh(flow['raw'][..., :2])
    if f'expression_{r}' in taps:
      named[f'dec.fineadainresblock.{level}'] = taps[f'expression_{r}']['__call__'][0]
      named[f'dec.fineadainresblock.{level}.norm2'] = taps[f'expression_{r}']['norm']['__call__'][0]
  return named


class Port:
  """Our model with the official weights of a case, and everything that it computes, under official names."""

  def __init__(self, case: Case):
    self.case, self.official = case, case.weights()
    self.config, variables = from_official(self.official, case.net)
    self.variables = jax.device_put(variables)
    self.model = EDTalk(self.config)
    self.basis = self.model.apply(self.variables, method='basis')
    self.found: dict[str, np.ndarray] = {}
    self._codes: dict[str, tuple] = {}

  def encode(self, image: str):
    if image not in self._codes:
      self._codes[image] = encode(self.model, self.variables, self.case.input(image))
    return self._codes[image]

  def source(self, path: str):
    code, features, taps = self.encode('source_u8')
    named = _encoder_taps(taps, self.case.size) | {'enc.net_app.call0/latent': code}
    self.found |= {f'{path}/{name}': value for name, value in named.items()}
    return code, features

  def decode(self, path: str, latent, features, expression=None):
    image, taps = decode(self.model, self.variables, latent, features, expression)
    named = _generator_taps(taps, self.case.size) | {'image': image, 'latent': latent}
    if expression is not None:
      named['exp_latent'] = expression
    self.found |= {f'{path}/{name}': value for name, value in named.items()}

  def bank(self, key: str, *names: str):
    """Q and R's diagonal of official matrices; the diagonal is that of Q^T W, which shows the signs of Q."""
    matrix = np.concatenate([self.official[name] for name in names], axis=1)
    q = self.basis[:, : matrix.shape[1]]
    self.found |= {f'{key}/Q': q, f'{key}/R_diag': np.einsum('dn,dn->n', q, matrix)}


def drive(port: Port, path: str, drivers: dict[str, str]):
  """Records one path of EDTalk or of the lip-pose model."""
  code, features = port.source(path)
  weights = {bank: port.case.input(driver) for bank, driver in drivers.items() if not driver.endswith('_u8')}
  images = {bank: driver for bank, driver in drivers.items() if driver.endswith('_u8')}
  order = list(dict.fromkeys(images.values()))
  for call, image in enumerate(ENCODED.get(path, order), start=1):
    port.found[f'{path}/enc.net_app.call{call}/latent'] = port.encode(image)[0]
  for bank, image in images.items():
    heads, trunk = motion(port.model, port.variables, port.encode(image)[0])
    weights[bank] = heads[bank]
    port.found |= {f'{path}/fc.call{order.index(image)}': trunk, f'{path}/{HEADS[bank]}.call0': heads[bank]}
  shifts = directions(weights, port.basis, port.config)
  port.decode(path, code + sum(shifts.values()), features, shifts.get('expression'))
