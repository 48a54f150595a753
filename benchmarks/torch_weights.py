"""Our parameters as state dicts of `benchmarks/torch_baseline.py`. Arrays in, arrays out; needs no PyTorch."""

from collections.abc import Iterator, Mapping
from typing import Any

import flax.traverse_util
import numpy as np

from edtalk_jax.weights.official_names import CONV, DENSE, FLAT, IMAGE, MAP

Arrays = dict[str, np.ndarray]
Pairs = Iterator[tuple[str, str]]  # the baseline's module, ours

# By slice of VGG19; the pooling layer comes before the last convolution of each but the first.
_VGG = (
  ('conv1_1',),
  ('conv1_2', 'conv2_1'),
  ('conv2_2', 'conv3_1'),
  ('conv3_2', 'conv3_3', 'conv3_4', 'conv4_1'),
  ('conv4_2', 'conv4_3', 'conv4_4', 'conv5_1'),
)


def model(params: Mapping[str, Any], size: int) -> Arrays:
  """Encoder, navigation and generator; `size` is the images' in pixels."""
  flat = _flat(params)
  found = _converted(flat, _model(size))
  for level in range(size.bit_length() - 3):
    theirs = f'generator.levels.{level}'
    found[f'{theirs}.flow_bias'] = MAP.save(found.pop(f'{theirs}.flow.bias'))
    found[f'{theirs}.rgb_bias'] = MAP.save(flat[f'generator/rgb_{8 << level}/bias'])
  banks = [flat[f'navigation/banks/{name}'] for name in ('mouth', 'pose')]
  return {
    **found,
    'encoder.code': CONV.save(flat['encoder/code/kernel']),
    'bank': np.concatenate(banks, axis=1),
    'generator.constant': IMAGE.save(flat['generator/constant']),
  }


def discriminator(params: Mapping[str, Any], size: int) -> Arrays:
  """The discriminator."""
  flat = _flat(params)
  pairs = [*_trunk('trunk', '', size), ('final', 'conv_4'), ('logit', 'logit'), ('hidden', 'hidden')]
  return {**_converted(flat, pairs), 'hidden.weight': FLAT.save(flat['hidden/kernel'])}


def perceptual(params: Mapping[str, Any]) -> Arrays:
  """VGG19, without the constants of its input."""
  pairs = (
    (f'slices.{part}.{2 * place + (part > 0 and place == len(names) - 1)}', name)
    for part, names in enumerate(_VGG)
    for place, name in enumerate(names)
  )  # convolution, ReLU, convolution, ...; one further behind the pooling layer
  return _converted(_flat(params), pairs)


def _flat(params: Mapping[str, Any]) -> Arrays:
  return flax.traverse_util.flatten_dict(params, sep='/')


def _converted(flat: Arrays, pairs: Pairs) -> Arrays:
  """Kernels and biases of modules; a bias that the baseline keeps elsewhere is left to the caller."""
  found = {}
  for theirs, ours in pairs:
    kernel = flat[f'{ours}/kernel']
    found[f'{theirs}.weight'] = (CONV if kernel.ndim == 4 else DENSE).save(kernel)
    if f'{ours}/bias' in flat:
      found[_bias(theirs)] = flat[f'{ours}/bias']
  return found


def _bias(theirs: str) -> str:
  """The baseline's name of a module's bias: that of a styled convolution is beside the convolution itself."""
  return f'{theirs.removesuffix(".conv") if theirs.startswith("generator.") else theirs}.bias'


def _trunk(theirs: str, ours: str, size: int) -> Pairs:
  yield f'{theirs}.blocks.0', f'{ours}stem'
  for block in range(1, size.bit_length() - 2):
    for name, path in (('first', 'conv_0'), ('second', 'conv_1'), ('skip', 'skip')):
      yield f'{theirs}.blocks.{block}.{name}', f'{ours}block_{size >> block}/{path}'


def _model(size: int) -> Pairs:
  yield from _trunk('encoder.trunk', 'encoder/', size)
  for layer in range(4):
    yield f'trunk.{layer}', f'navigation/trunk/linear_{layer}'
  for bank in ('mouth', 'pose'):
    for layer in range(3):
      yield f'{bank}.{layer}', f'navigation/heads/{bank}/linear_{layer}'
  yield from _styled('generator.first', 'generator/conv_4')
  for level in range(size.bit_length() - 3):
    theirs, side = f'generator.levels.{level}', 8 << level
    yield from _styled(f'{theirs}.up', f'generator/up_{side}')
    yield from _styled(f'{theirs}.conv', f'generator/conv_{side}')
    yield f'{theirs}.flow', f'generator/flow_{side}'
    yield f'{theirs}.flow.style', f'generator/flow_{side}/style'
    yield f'{theirs}.rgb', f'generator/rgb_{side}/conv'


def _styled(theirs: str, ours: str) -> Pairs:
  yield f'{theirs}.conv', ours
  yield f'{theirs}.conv.style', f'{ours}/style'
