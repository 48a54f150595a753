"""Official PyTorch checkpoints in and out, as mappings from official names to NumPy arrays.

Reading a `.pt` file is the caller's: what is in it need not be PyTorch's.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax import ops
from edtalk_jax.config import AudioConfig, ModelConfig, PerceptualConfig
from edtalk_jax.networks import VGG19, Discriminator, EDTalk
from edtalk_jax.weights import checks, official_audio, official_names
from edtalk_jax.weights.official_sizes import infer_config

_log = logging.getLogger(__name__)

NETWORKS = ('edtalk', 'lip_pose', 'lia', 'discriminator', 'vgg19', *official_audio.STACKS)
# Constants of the loss network's module, and what torchvision's file holds behind relu5_1.
_VGG_EXTRA = re.compile(r'pyramid\.downs\..*|vgg\.(mean|std)|features\.(30|32|34)\..*|classifier\..*')

Arrays = Mapping[str, np.ndarray]
AnyConfig = ModelConfig | PerceptualConfig | AudioConfig


def from_official(arrays: Arrays, network: str) -> tuple[AnyConfig, dict[str, Any]]:
  """Turns an official state dict into our config and variables.

  All sizes are read from the shapes. Dead tensors (docs/model.md lists them) are accepted, left out and named in the
  log. Banks are converted from the official sign convention to ours; see `_signed_banks`.

  Args:
    arrays: official name -> array in PyTorch's layout. For 'vgg19', torchvision's names ('features.0.weight') too.
    network: one of `NETWORKS`.

  Returns:
    The config (`PerceptualConfig` for 'vgg19', `AudioConfig` for 'audio2lip' and 'syncnet', else `ModelConfig`) and the
    variables in float32: `{'params': ...}`, and 'batch_stats' where there is BatchNorm.

  Raises:
    ValueError: on an unknown network, or names or shapes that do not make up one.
  """
  _check_network(network)
  if network in official_audio.STACKS:
    return official_audio.load(arrays, network)
  if network == 'vgg19':
    arrays = {_slice_name(name): array for name, array in arrays.items()}
  try:
    config = infer_config(arrays, network)
  except (ValueError, IndexError) as error:
    raise ValueError(f'this is no {network} state dict: {error}') from None
  entries = official_names.entries(network, config)
  banks = official_names.BANKS.get(network, ())
  known = {entry.name for entry in entries} | {name for name, _ in banks}
  dropped = set(left_out(arrays, network, config))
  checks.names(network, missing=known - set(arrays), unknown=set(arrays) - known - dropped)
  if dropped:
    names = ', '.join(sorted(dropped))
    _log.info('%s: left out %d tensors that never reach the output: %s', network, len(dropped), names)
  checks.shapes(network, arrays, _expected_shapes(network, config))
  flat = {entry.path: entry.layout.load(np.asarray(arrays[entry.name], np.float32)) for entry in entries}
  flat |= _signed_banks([np.asarray(arrays[name], np.float32) for name, _ in banks], config)
  flat = {path: np.ascontiguousarray(array) for path, array in flat.items()}
  return config, {'params': flax.traverse_util.unflatten_dict(flat, sep='/')}


def left_out(names: Iterable[str], network: str, config: AnyConfig) -> list[str]:
  """Returns those of an official state dict's names that `from_official` knows and does without, sorted."""
  if network in official_audio.STACKS:
    return sorted(name for name in names if name.endswith(official_audio.STEP))
  inert = official_names.inert(network, config)
  return sorted(name for name in names if name in inert or (network == 'vgg19' and _VGG_EXTRA.fullmatch(name)))


def to_official(
  variables: Mapping[str, Any], config: AnyConfig, network: str, signs: Mapping[str, Sequence[int]] | None = None
) -> dict[str, np.ndarray]:
  """Turns our variables into a state dict that the official code loads and animates alike; dead tensors are zeros.

  Args:
    variables: of our module.
    config: as `from_official` returns it.
    network: one of `NETWORKS`.
    signs: `bank_signs` of the state dict that the variables were imported from. Its banks come back bit by bit; without
      it their columns may have another sign, which says nothing.

  Raises:
    ValueError: if the model is not one that the official code can hold.
  """
  if network in official_audio.STACKS:
    return official_audio.save(variables, network)
  arrays = official_layout(variables['params'], config, network)
  for head, head_signs in _official_signs(arrays, config, network).items():
    for part in ('weight', 'bias'):
      arrays[f'{head}.{part}'] = (arrays[f'{head}.{part}'].T * head_signs).T
  for name, bank in (signs or {}).items():
    arrays[name] = arrays[name] * np.asarray(bank, arrays[name].dtype)
  return arrays | official_names.inert(network, config)


def official_layout(params: Mapping[str, Any], config: AnyConfig, network: str) -> dict[str, np.ndarray]:
  """Renames and transposes a tree of parameters, gradients or moments to official names; signs stay ours.

  A gradient of a bank imported by `from_official` is the official one times `ops.householder_signs` of the official
  matrix, column by column.

  Raises:
    ValueError: if the tree lacks what the official network has, or has more.
  """
  _check_network(network)
  names = [name for _, group in official_names.BANKS.get(network, ()) for name in group]
  if names and [name for name, _ in config.banks] != names:
    raise ValueError(
      f'banks {", ".join(name for name, _ in config.banks)} do not fit {network}, which has {", ".join(names)}'
    )
  flat = {path: np.asarray(array) for path, array in flax.traverse_util.flatten_dict(params, sep='/').items()}
  entries = official_names.entries(network, config)
  expected = {entry.path for entry in entries} | {f'navigation/banks/{name}' for name in names}
  checks.names(network, missing=expected - set(flat), unknown=set(flat) - expected)
  arrays = {entry.name: np.ascontiguousarray(entry.layout.save(flat[entry.path])) for entry in entries}
  for name, group in official_names.BANKS.get(network, ()):
    arrays[name] = np.concatenate([flat[f'navigation/banks/{bank}'] for bank in group], axis=1)
  return arrays


def bank_signs(arrays: Arrays, network: str) -> dict[str, list[int]]:
  """Returns the signs by which `from_official` multiplies a bank's columns: official name -> 1 or -1 of each."""
  names = [name for name, _ in official_names.BANKS.get(network, ())]
  if not names:
    return {}
  matrices = [np.asarray(arrays[name], np.float32) for name in names]
  ends = np.cumsum([matrix.shape[1] for matrix in matrices])[:-1]
  found = np.split(ops.householder_signs(np.concatenate(matrices, axis=1)), ends)
  return {name: signs.astype(int).tolist() for name, signs in zip(names, found, strict=True)}


def _signed_banks(matrices: list[np.ndarray], config: AnyConfig) -> dict[str, np.ndarray]:
  """Splits the official matrices into banks whose QR with positive diagonal is the official QR.

  The official code takes LAPACK's Householder QR as it comes, where the sign of a column depends on a pivot's; weights
  of the heads are learnt for those signs. Ours makes the diagonal of R positive, so that no column jumps when a pivot
  crosses zero in training. With D = diag(sign(diag R)), the positive QR of W D has the Q of the Householder QR of W.
  """
  if not matrices:
    return {}
  joint = np.concatenate(matrices, axis=1)
  joint = joint * ops.householder_signs(joint)
  ends = np.cumsum([size for _, size in config.banks])[:-1]
  return {
    f'navigation/banks/{name}': columns
    for (name, _), columns in zip(config.banks, np.split(joint, ends, axis=1), strict=True)
  }


def _official_signs(arrays: Arrays, config: AnyConfig, network: str) -> dict[str, np.ndarray]:
  """Signs of each head's outputs under the official convention: official name of the head's last layer -> [size].

  Householder's Q does not change when a column of W is negated (the reflection's target flips with it), so an export
  cannot choose the official signs through the bank. Where they differ from ours, the weight of that column is negated
  instead: the last row of the head and its bias.
  """
  banks = official_names.BANKS.get(network)
  if not banks:
    return {}
  signs = ops.householder_signs(np.concatenate([arrays[name] for name, _ in banks], axis=1))
  result, first = {}, 0
  for name, size in config.banks:
    last = config.head_layers - 1
    head = f'enc.fc.{config.trunk_layers + last}' if network == 'lia' else f'{official_names.HEADS[name]}.{last}'
    result[head] = signs[first : first + size]
    first += size
  return result


def _slice_name(name: str) -> str:
  """Turns torchvision's 'features.0.weight' into the official code's 'vgg.slice1.0.weight'; leaves others alone."""
  match = re.fullmatch(r'features\.(\d+)\.(weight|bias)', name)
  parts = {index: part for part, index in official_names.VGG19.values()}
  if match is None or int(match[1]) not in parts:
    return name
  return f'vgg.slice{parts[int(match[1])]}.{match[1]}.{match[2]}'


def _check_network(network: str) -> None:
  if network not in NETWORKS:
    raise ValueError(f'network must be one of {", ".join(NETWORKS)}, got {network!r}')


def _expected_shapes(network: str, config: AnyConfig) -> dict[str, tuple[int, ...]]:
  """Official name -> shape, of the module that the inferred config builds."""
  if network == 'vgg19':
    size, module = 64, VGG19(config.width)
  else:
    size, module = config.image_size, Discriminator(config) if network == 'discriminator' else EDTalk(config)
  image = jnp.zeros((1, size, size, 3))
  inputs = (image, image) if isinstance(module, EDTalk) else (image,)
  params = jax.eval_shape(module.init, jax.random.key(0), *inputs)['params']
  sizes = dict(config.banks) if network in official_names.BANKS else {}
  return official_names.saved_shapes(official_names.entries(network, config), params) | {
    name: (config.style_dim, sum(sizes[bank] for bank in group))
    for name, group in official_names.BANKS.get(network, ())
  }
