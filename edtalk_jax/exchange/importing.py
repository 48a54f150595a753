"""Official weights files become the folder of a run, which every command takes as if train.py had made it."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from data_pipeline.digests import of_file
from edtalk_jax.animation.presets import BANK as EXPRESSION
from edtalk_jax.animation.presets import write as write_presets
from edtalk_jax.config import Config, UserError
from edtalk_jax.exchange import official_presets
from edtalk_jax.exchange.stages import AUDIO, GENERATORS, config_of, same_sizes
from edtalk_jax.training import checkpoint, record, trees
from edtalk_jax.training.shelf import FOLDER
from edtalk_jax.weights import bank_signs, files, from_official, left_out, recognise, safetensors_file
from edtalk_jax.weights.tensors import Tensors

# Networks that make no run by themselves: each stays a file, under the option of a training run that takes it.
LOOSE = {
  'vgg19': ('vgg19.safetensors', 'perceptual.weights'),
  'syncnet': ('sync_expert.safetensors', 'audio.sync_expert'),
  'audio2lip': ('audio2lip.safetensors', 'audio.encoder'),
}


@dataclasses.dataclass(frozen=True)
class Imported:
  """What an import has made.

  Attributes:
    path: the run's folder; of a network that makes no run, its file.
    networks: official name -> number of tensors that were placed.
    left_out: official name -> its tensors that no output depends on.
    others: parts of the files that are no network, such as optimiser moments.
    config: of the run; None for a network that makes none.
    option: of a training run, that takes the file of such a network.
  """

  path: pathlib.Path
  networks: dict[str, int]
  left_out: dict[str, list[str]]
  others: tuple[str, ...]
  config: Config | None = None
  option: str = ''


def import_weights(
  paths: Sequence[str | pathlib.Path], out: str | pathlib.Path, kind: str | None = None, presets: str | None = None
) -> Imported:
  """Imports official weights files, completely: every tensor is placed or named as left out.

  Args:
    paths: a generator's file (EDTalk, the lip-pose model, LIA; with its discriminator if that is in it), and Audio2Lip
      beside it for a model that hears; or one file of Audio2Lip, the sync expert or VGG19. `.pt`, `.pth`,
      `.safetensors` or `.npz`.
    out: folder of the run that is made.
    kind: the official network of the only file, if its tensors' names shall not tell it.
    presets: folder of the released expression presets, which become the run's.

  Raises:
    UserError: in one line, if a file is damaged, cut short or another network's, saying what differs, or if `out`
      holds a run.
  """
  folder, files_of = pathlib.Path(out), {}
  if kind and len(paths) > 1:
    raise UserError(f'--kind {kind}: give one file, not {len(paths)}')
  check_free(out)
  networks, others = {}, ()
  for path in map(pathlib.Path, paths):
    found = _read(path, kind)
    others += found.others
    for network, tensors in found.networks.items():
      if network in networks:
        raise UserError(f'{path}: {network} is in {files_of[network]} already')
      networks[network], files_of[network] = tensors, path
  where = ' and '.join(map(str, paths))
  try:
    generators = [network for network in networks if network in GENERATORS]
    if len(generators) == 1:
      return _import_run(networks, generators[0], others, folder, files_of, presets)
    if len(networks) == 1 and set(networks) <= set(LOOSE):
      return _import_loose(networks, others, folder)
    raise ValueError(f'{" and ".join(networks)} make no run; give one generator, with audio2lip beside it or without')
  except ValueError as error:
    raise UserError(f'{where}: {error}') from None


def check_free(out: str | pathlib.Path) -> None:
  """Raises UserError if the folder holds a run or weights."""
  if any((pathlib.Path(out) / name).exists() for name in (record.FILE, FOLDER, *(name for name, _ in LOOSE.values()))):
    raise UserError(f'{out} holds a run or weights already; choose another --out')


def _read(path: pathlib.Path, kind: str | None) -> recognise.Found:
  try:
    return recognise.networks(files.contents(path), kind)
  except ValueError as error:
    raise UserError(f'{path}: {error}') from None


def _import_run(
  networks: Mapping[str, Tensors],
  generator: str,
  others: tuple[str, ...],
  folder: pathlib.Path,
  files_of: Mapping[str, pathlib.Path],
  presets: str | None,
) -> Imported:
  if extra := set(networks) - {generator, 'discriminator', 'audio2lip'}:
    raise ValueError(f'{extra.pop()} is no part of a run of {generator}; import it into a folder of its own')
  configs, placed = {}, {}
  for network, tensors in networks.items():
    configs[network], placed[network] = _converted(tensors, network)
  model = configs[generator]
  parts = {'model': placed[generator]['params']}
  if 'discriminator' in networks:
    same_sizes(model, configs['discriminator'])
    parts['discriminator'] = placed['discriminator']['params']
  if 'audio2lip' in networks:
    _check_mouth(dict(model.banks).get('mouth', 0), placed['audio2lip'])
    parts['model'] = {**parts['model'], AUDIO: placed['audio2lip']}
  config = config_of(generator, model, configs.get('audio2lip'))
  emotions = official_presets.read(presets, dict(model.banks).get(EXPRESSION, 0)) if presets else None
  unplaced = {network: left_out(tensors, network, configs[network]) for network, tensors in networks.items()}
  imported = {
    'files': {path.name: of_file(path) for path in {*files_of.values()}},
    'networks': list(networks),
    'left_out': unplaced,
    'others': list(others),
    'bank_signs': bank_signs(networks[generator], generator),
  }
  content = record.describe(config, _origin(config, imported))
  checkpoint.write(folder, content, parts)
  record.write(folder, content)
  if emotions:
    write_presets(emotions, folder)
  counts = {network: len(tensors) - len(unplaced[network]) for network, tensors in networks.items()}
  return Imported(folder, counts, unplaced, others, config)


def _converted(tensors: Tensors, network: str) -> tuple[Any, dict[str, Any]]:
  """Returns config and variables of an official network. Raises ValueError if a number is not finite."""
  config, variables = from_official(tensors, network)
  for path, array in trees.flatten(variables).items():
    if not np.isfinite(array).all():
      raise ValueError(f'{network}: {path} holds numbers that are not finite')
  return config, jax.tree.map(jax.numpy.asarray, variables)


def _check_mouth(size: int, audio: Mapping[str, Any]) -> None:
  found = audio['params']['mapping']['bias'].shape[0]
  if found != size:
    raise ValueError(f'audio2lip drives a mouth bank of {found}, the generator has one of {size}')


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


def _import_loose(networks: Mapping[str, Tensors], others: tuple[str, ...], folder: pathlib.Path) -> Imported:
  """Writes the tensors under their own names, once the network has been found whole."""
  ((network, tensors),) = networks.items()
  config, _ = _converted(tensors, network)
  unplaced = left_out(tensors, network, config)
  name, option = LOOSE[network]
  arrays = {key: np.asarray(tensor, np.float32) for key, tensor in tensors.items() if key not in unplaced}
  folder.mkdir(parents=True, exist_ok=True)
  temporary = folder / (name + '.tmp')
  safetensors_file.write(temporary, arrays, {'network': network})
  temporary.replace(folder / name)
  return Imported(folder / name, {network: len(arrays)}, {network: unplaced}, others, option=option)
