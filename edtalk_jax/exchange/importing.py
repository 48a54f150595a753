"""Official weights files become the folder of a run, which every command takes as if train.py had made it."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from data_pipeline.digests import of_file
from edtalk_jax.config import Config, UserError
from edtalk_jax.exchange.stages import GENERATORS, config_of, same_sizes
from edtalk_jax.training import checkpoint, record, trees
from edtalk_jax.training.shelf import FOLDER
from edtalk_jax.weights import bank_signs, files, from_official, left_out, recognise, safetensors_file
from edtalk_jax.weights.tensors import Tensors

VGG19_FILE = 'vgg19.safetensors'


@dataclasses.dataclass(frozen=True)
class Imported:
  """What an import has made.

  Attributes:
    path: the run's folder; for VGG19, the file.
    networks: official name -> number of tensors that were placed.
    left_out: official name -> its tensors that no output depends on.
    others: parts of the file that are no network, such as optimiser moments.
    config: of the run; None for VGG19.
  """

  path: pathlib.Path
  networks: dict[str, int]
  left_out: dict[str, list[str]]
  others: tuple[str, ...]
  config: Config | None


def import_weights(file: str | pathlib.Path, out: str | pathlib.Path, kind: str | None = None) -> Imported:
  """Imports an official weights file, completely: every tensor is placed or named as left out.

  Args:
    file: EDTalk's, the lip-pose model's or LIA's generator (with its discriminator if it is in the file), or
      torchvision's VGG19; `.pt`, `.pth`, `.safetensors` or `.npz`.
    out: folder of the run that is made.
    kind: the official network, if its tensors' names shall not tell it.

  Raises:
    UserError: in one line, if the file is damaged, cut short or another network's, saying what differs, or if `out`
      holds a run.
  """
  path, folder = pathlib.Path(file), pathlib.Path(out)
  check_free(out)
  try:
    found = recognise.networks(files.contents(path), kind)
    return _import(path, folder, found)
  except ValueError as error:
    raise UserError(f'{path}: {error}') from None


def check_free(out: str | pathlib.Path) -> None:
  """Raises UserError if the folder holds a run."""
  if any((pathlib.Path(out) / name).exists() for name in (record.FILE, FOLDER, VGG19_FILE)):
    raise UserError(f'{out} holds a run or weights already; choose another --out')


def _import(path: pathlib.Path, folder: pathlib.Path, found: recognise.Found) -> Imported:
  generators = [network for network in found.networks if network in GENERATORS]
  if 'vgg19' in found.networks:
    return _import_vgg19(found, folder)
  if not generators:
    raise ValueError(f'it holds {" and ".join(found.networks)} alone, which makes no run; import it with its generator')
  (network, *_) = generators
  model, placed = _converted(found.networks[network], network)
  config, parts = config_of(network, model), {'model': placed}
  names = {network: sorted(found.networks[network])}
  if 'discriminator' in found.networks:
    sizes, parts['discriminator'] = _converted(found.networks['discriminator'], 'discriminator')
    same_sizes(model, sizes)
    names['discriminator'] = sorted(found.networks['discriminator'])
  unplaced = {name: left_out(there, name, model) for name, there in names.items()}
  imported = {
    'file': path.name,
    'sha256': of_file(path),
    'networks': list(names),
    'left_out': unplaced,
    'others': list(found.others),
    'bank_signs': bank_signs(found.networks[network], network),
  }
  content = record.describe(config, _origin(config, imported))
  checkpoint.write(folder, content, parts)
  record.write(folder, content)
  counts = {name: len(there) - len(unplaced[name]) for name, there in names.items()}
  return Imported(folder, counts, unplaced, found.others, config)


def _converted(tensors: Tensors, network: str) -> tuple[Any, dict[str, Any]]:
  """Returns config and parameters of an official network. Raises ValueError if a number is not finite."""
  config, variables = from_official(tensors, network)
  for path, array in trees.flatten(variables['params']).items():
    if not np.isfinite(array).all():
      raise ValueError(f'{network}: {path} holds numbers that are not finite')
  return config, jax.tree.map(jax.numpy.asarray, variables['params'])


def _origin(config: Config, imported: Mapping[str, Any]) -> dict[str, Any]:
  """What config.json says besides the configuration, as of a run of train.py; and where the parameters are from."""
  return {
    'stage': config.run.stage,
    'start_from': None,
    'perceptual_features': 'unknown: imported',
    'data': {'path': None, 'fingerprint': 'unknown: imported'},
    'began': time.time(),
    'imported': dict(imported),
  }


def _import_vgg19(found: recognise.Found, folder: pathlib.Path) -> Imported:
  """VGG19 is no model of ours but what losses are measured with: it stays a file, for `perceptual.weights`."""
  tensors = found.networks['vgg19']
  config, _ = from_official(tensors, 'vgg19')
  unplaced = left_out(tensors, 'vgg19', config)
  folder.mkdir(parents=True, exist_ok=True)
  temporary = folder / (VGG19_FILE + '.tmp')
  arrays = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items() if name not in unplaced}
  safetensors_file.write(temporary, arrays, {'network': 'vgg19'})
  temporary.replace(folder / VGG19_FILE)
  return Imported(folder / VGG19_FILE, {'vgg19': len(arrays)}, {'vgg19': unplaced}, found.others, None)
