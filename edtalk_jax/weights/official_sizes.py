"""The sizes of an official network, read from the shapes of its tensors."""

import re
from collections.abc import Mapping

import numpy as np

from edtalk_jax.config import ModelConfig, PerceptualConfig
from edtalk_jax.weights.official_names import BANKS, HEADS


def infer_config(arrays: Mapping[str, np.ndarray], network: str) -> ModelConfig | PerceptualConfig:
  """Returns the config whose networks have these shapes, as far as shapes tell.

  Args:
    arrays: official name -> array.
    network: a name that `from_official` accepts.

  Raises:
    ValueError: if a tensor that tells a size is missing.
  """
  if network == 'vgg19':
    return PerceptualConfig(width=_shape(arrays, 'vgg.slice1.0.weight')[0] / 64)
  prefix = '' if network == 'discriminator' else 'enc.net_app.'
  blocks = _count(arrays, f'{prefix}convs', 'skip')
  image_size = 4 << blocks
  # Channels halve when the resolution doubles, but for the cap at low resolutions.
  channel_base = _shape(arrays, f'{prefix}convs.0.0.weight')[0] * image_size
  if network == 'discriminator':
    deepest = _shape(arrays, 'final_conv.0.weight')[0]
    return ModelConfig(image_size=image_size, channel_base=channel_base, channel_max=deepest)
  banks, trunk_layers, head_layers = (_lia_heads if network == 'lia' else _heads)(arrays, network)
  expression = {}
  if network == 'edtalk':
    hidden = _shape(arrays, 'dec.fineadainresblock.0.norm2.mlp_shared.0.weight')[0]
    expression = {'expression_module': True, 'expression_hidden': hidden}
  return ModelConfig(
    image_size=image_size,
    style_dim=_shape(arrays, f'{prefix}convs.{blocks + 1}.weight')[0],
    channel_base=channel_base,
    channel_max=_shape(arrays, 'dec.input.input')[1],
    banks=banks,
    trunk_layers=trunk_layers,
    head_layers=head_layers,
    **expression,
  )


def _heads(arrays: Mapping[str, np.ndarray], network: str) -> tuple[tuple[tuple[str, int], ...], int, int]:
  """Returns banks, trunk layers and head layers of EDTalk and of the lip-pose model."""
  names = [name for _, group in BANKS[network] for name in group]
  depth = _count(arrays, HEADS[names[0]], 'weight')
  banks = tuple((name, _shape(arrays, f'{HEADS[name]}.{max(depth, 1) - 1}.weight')[0]) for name in names)
  return banks, _count(arrays, 'fc', 'weight'), depth


def _lia_heads(arrays: Mapping[str, np.ndarray], network: str) -> tuple[tuple[tuple[str, int], ...], int, int]:
  """LIA keeps trunk and head in one list, whose last layer is the head."""
  trunk = _count(arrays, 'enc.fc', 'weight') - 1
  ((_, (bank,)),) = BANKS[network]
  return ((bank, _shape(arrays, f'enc.fc.{max(trunk, 0)}.weight')[0]),), trunk, 1


def _shape(arrays: Mapping[str, np.ndarray], name: str) -> tuple[int, ...]:
  if name not in arrays:
    raise ValueError(f'the sizes cannot be read: there is no tensor {name}')
  return tuple(arrays[name].shape)


def _count(arrays: Mapping[str, np.ndarray], parent: str, child: str) -> int:
  """Number of different i for which a tensor `<parent>.<i>.<child>...` exists."""
  matches = (re.match(rf'{re.escape(parent)}\.(\d+)\.{child}\b', name) for name in arrays)
  return len({match[1] for match in matches if match})
