"""The official checkpoints' tensor names beside our parameter paths. Nothing outside `edtalk_jax.weights` knows them.

Official code: tanshuai0219/EDTalk (EDTalk, lip-pose model, discriminator, VGG19 loss) and wyhsirius/LIA.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import flax.traverse_util
import numpy as np

from edtalk_jax.config import ModelConfig

# Official names of the banks' matrices, each holding the columns of several banks, in the order of their QR.
BANKS = {
  'edtalk': (('direction_lipnonlip.weight', ('mouth', 'pose')), ('direction_exp.weight', ('expression',))),
  'lip_pose': (('direction_lipnonlip.weight', ('mouth', 'pose')),),
  'lia': (('dec.direction.weight', ('motion',)),),
}
HEADS = {'mouth': 'lip_fc', 'pose': 'pose_fc', 'expression': 'exp_fc'}
# Convolutions within torchvision's vgg19().features, and the slice of the official code that holds each.
VGG19 = {
  'conv1_1': (1, 0),
  'conv1_2': (2, 2),
  'conv2_1': (2, 5),
  'conv2_2': (3, 7),
  'conv3_1': (3, 10),
  'conv3_2': (4, 12),
  'conv3_3': (4, 14),
  'conv3_4': (4, 16),
  'conv4_1': (4, 19),
  'conv4_2': (5, 21),
  'conv4_3': (5, 23),
  'conv4_4': (5, 25),
  'conv5_1': (5, 28),
}


class Layout(NamedTuple):
  """How a PyTorch tensor becomes ours, and back."""

  load: Callable[[np.ndarray], np.ndarray]
  save: Callable[[np.ndarray], np.ndarray]


CONV = Layout(lambda a: a.transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1))
STYLED = Layout(lambda a: CONV.load(a[0]), lambda a: CONV.save(a)[None])
DENSE = Layout(np.transpose, np.transpose)
VECTOR = Layout(lambda a: a, lambda a: a)
MAP = Layout(lambda a: a.reshape(-1), lambda a: a.reshape(1, -1, 1, 1))
IMAGE = Layout(lambda a: a.transpose(0, 2, 3, 1), lambda a: a.transpose(0, 3, 1, 2))
# The discriminator flattens its 4 px map; PyTorch's order is channels first.
FLAT = Layout(
  lambda a: a.reshape(len(a), -1, 4, 4).transpose(2, 3, 1, 0).reshape(-1, len(a)),
  lambda a: a.reshape(4, 4, -1, a.shape[1]).transpose(3, 2, 0, 1).reshape(a.shape[1], -1),
)


class Entry(NamedTuple):
  """One tensor: official name, our path and the change of layout."""

  name: str
  path: str
  layout: Layout


def saved_shapes(found: Iterable[Entry], ours: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
  """Official name -> the shape it has for `ours`, the nested shapes of our variables or parameters."""
  flat = flax.traverse_util.flatten_dict(dict(ours), sep='/')
  return {
    entry.name: entry.layout.save(np.broadcast_to(np.float32(0), flat[entry.path].shape)).shape for entry in found
  }


def entries(network: str, config: ModelConfig) -> list[Entry]:
  """Lists the tensors of one network but for its banks (`BANKS`), whose columns need more than a new layout."""
  if network == 'vgg19':
    return [entry for path, (part, index) in VGG19.items() for entry in _both(f'vgg.slice{part}.{index}', path, CONV)]
  if network == 'discriminator':
    return [*_trunk('', '', config), *_discriminator_head()]
  return [
    *_trunk('enc.net_app.', 'encoder/', config),
    Entry(f'enc.net_app.convs.{_blocks(config) + 1}.weight', 'encoder/code/kernel', CONV),
    *_navigation(network, config),
    *_generator(config),
  ]


def _both(name: str, path: str, layout: Layout) -> tuple[Entry, Entry]:
  return (Entry(f'{name}.weight', f'{path}/kernel', layout), Entry(f'{name}.bias', f'{path}/bias', VECTOR))


def _blocks(config: ModelConfig) -> int:
  """Number of residual blocks, from full size to 4 px."""
  return config.image_size.bit_length() - 3


def _trunk(name: str, path: str, config: ModelConfig) -> Iterator[Entry]:
  """Stem and residual blocks, which encoder and discriminator share."""
  yield Entry(f'{name}convs.0.0.weight', f'{path}stem/kernel', CONV)
  yield Entry(f'{name}convs.0.1.bias', f'{path}stem/bias', MAP)
  for index in range(1, _blocks(config) + 1):
    block, ours = f'{name}convs.{index}', f'{path}block_{config.image_size >> index}'
    yield Entry(f'{block}.conv1.0.weight', f'{ours}/conv_0/kernel', CONV)
    yield Entry(f'{block}.conv1.1.bias', f'{ours}/conv_0/bias', MAP)
    yield Entry(f'{block}.conv2.1.weight', f'{ours}/conv_1/kernel', CONV)
    yield Entry(f'{block}.conv2.2.bias', f'{ours}/conv_1/bias', MAP)
    yield Entry(f'{block}.skip.1.weight', f'{ours}/skip/kernel', CONV)


def _discriminator_head() -> Iterator[Entry]:
  yield Entry('final_conv.0.weight', 'conv_4/kernel', CONV)
  yield Entry('final_conv.1.bias', 'conv_4/bias', MAP)
  yield from _both('final_linear.0', 'hidden', FLAT)
  yield from _both('final_linear.1', 'logit', DENSE)


def _navigation(network: str, config: ModelConfig) -> Iterator[Entry]:
  trunk = 'enc.fc' if network == 'lia' else 'fc'
  for index in range(config.trunk_layers):
    yield from _both(f'{trunk}.{index}', f'navigation/trunk/linear_{index}', DENSE)
  for bank, _ in config.banks:
    for index in range(config.head_layers):
      # LIA keeps trunk and head in one list.
      name = f'enc.fc.{config.trunk_layers + index}' if network == 'lia' else f'{HEADS[bank]}.{index}'
      yield from _both(name, f'navigation/heads/{bank}/linear_{index}', DENSE)


def _generator(config: ModelConfig) -> Iterator[Entry]:
  yield Entry('dec.input.input', 'generator/constant', IMAGE)
  yield from _styled('dec.conv1', 'generator/conv_4')
  for level in range(_blocks(config)):
    size = 8 << level
    yield from _styled(f'dec.convs.{2 * level}', f'generator/up_{size}')
    yield from _styled(f'dec.convs.{2 * level + 1}', f'generator/conv_{size}')
    flow, rgb = f'dec.to_flows.{level}', f'dec.to_rgbs.{level}'
    yield Entry(f'{flow}.conv.weight', f'generator/flow_{size}/kernel', STYLED)
    yield Entry(f'{flow}.bias', f'generator/flow_{size}/bias', MAP)
    yield from _both(f'{flow}.conv.modulation', f'generator/flow_{size}/style', DENSE)
    yield Entry(f'{rgb}.conv.0.weight', f'generator/rgb_{size}/conv/kernel', CONV)
    yield Entry(f'{rgb}.conv.1.bias', f'generator/rgb_{size}/conv/bias', MAP)
    yield Entry(f'{rgb}.bias', f'generator/rgb_{size}/bias', MAP)
    if config.expression_module:
      name, path = f'dec.fineadainresblock.{level}', f'generator/expression_{size}'
      yield Entry(f'{name}.conv2.weight', f'{path}/kernel', CONV)
      yield from _both(f'{name}.norm2.mlp_shared.0', f'{path}/norm/hidden', DENSE)
      yield from _both(f'{name}.norm2.mlp_gamma', f'{path}/norm/scale', DENSE)
      yield from _both(f'{name}.norm2.mlp_beta', f'{path}/norm/shift', DENSE)


def _styled(name: str, path: str) -> Iterator[Entry]:
  yield Entry(f'{name}.conv.weight', f'{path}/kernel', STYLED)
  yield Entry(f'{name}.activate.bias', f'{path}/bias', MAP)
  yield from _both(f'{name}.conv.modulation', f'{path}/style', DENSE)


def inert(network: str, config: ModelConfig) -> dict[str, np.ndarray]:
  """Tensors of an official state dict that never reach its output, or are constants of the code.

  They are left out at import, and written at export so that the official loader, which is strict, accepts the file:
  constants with their values, dead parameters as zeros.
  """
  tensors = {}
  blur = np.outer((1, 3, 3, 1), (1, 3, 3, 1)).astype(np.float32) / 64
  if network == 'vgg19':
    return {}
  prefix = '' if network == 'discriminator' else 'enc.net_app.'
  for index in range(1, _blocks(config) + 1):
    tensors |= {f'{prefix}convs.{index}.{part}.0.kernel': blur for part in ('conv2', 'skip')}
  if network == 'discriminator':
    return tensors
  # Noise is never injected, and the 4 px colours are never read.
  tensors['dec.conv1.noise.weight'] = np.zeros(1, np.float32)
  tensors['dec.to_rgb1.conv.0.weight'] = np.zeros((3, config.channels(4), 1, 1), np.float32)
  tensors |= {f'dec.to_rgb1.{name}': np.zeros((1, 3, 1, 1), np.float32) for name in ('bias', 'conv.1.bias')}
  for level in range(_blocks(config)):
    tensors |= {f'dec.convs.{2 * level + i}.noise.weight': np.zeros(1, np.float32) for i in range(2)}
    # Upsampling by zero insertion leaves a quarter of the energy, which the kernel makes good.
    upsampling = (f'dec.convs.{2 * level}.conv.blur', f'dec.to_rgbs.{level}.upsample', f'dec.to_flows.{level}.upsample')
    tensors |= {f'{name}.kernel': 4 * blur for name in upsampling}
    if config.expression_module:
      tensors |= _dead_expression(f'dec.fineadainresblock.{level}', config.channels(8 << level), config)
  return tensors


def _dead_expression(name: str, channels: int, config: ModelConfig) -> dict[str, np.ndarray]:
  """The half of the EEM whose result the official forward pass overwrites, and the bias that its norm subtracts."""
  hidden = config.expression_hidden
  shapes = {
    'conv1.weight': (channels, channels, 3, 3),
    'conv1.bias': (channels,),
    'conv2.bias': (channels,),
    'norm1.mlp_shared.0.weight': (hidden, config.style_dim),
    'norm1.mlp_shared.0.bias': (hidden,),
    'norm1.mlp_gamma.weight': (channels, hidden),
    'norm1.mlp_gamma.bias': (channels,),
    'norm1.mlp_beta.weight': (channels, hidden),
    'norm1.mlp_beta.bias': (channels,),
  }
  return {f'{name}.{part}': np.zeros(shape, np.float32) for part, shape in shapes.items()}
