"""The model of a run as an official weights file."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from edtalk_jax import stages
from edtalk_jax.config import UserError
from edtalk_jax.exchange.stages import AUDIO, network_of
from edtalk_jax.training import hand_off, integrity
from edtalk_jax.training.shelf import Which
from edtalk_jax.weights import safetensors_file, to_official, torch_writer

FORMATS = ('.pt', '.pth', '.safetensors')


@dataclasses.dataclass(frozen=True)
class Exported:
  """What an export has made.

  Attributes:
    path: the file.
    networks: official name -> number of tensors in it.
    step: of the run's checkpoint.
  """

  path: pathlib.Path
  networks: dict[str, int]
  step: int


def export_weights(workdir: str, out: str | pathlib.Path, which: Which = 'latest', *, raw: bool = False) -> Exported:
  """Writes a run's model in the official layout.

  `.pt` and `.pth` hold {'gen': state dict}, 'dis' where the run has a discriminator and 'audio2lip' where it hears, as
  the official trainers save them; `.safetensors` holds the generator alone, with 'network' in its metadata.

  Args:
    workdir: of the run.
    out: the file; its ending says the format.
    which: checkpoint.
    raw: take the generator's parameters themselves even if the run keeps an average of them.

  Raises:
    UserError: in one line, if there is no such run, or the official code cannot hold its model.
  """
  path = pathlib.Path(out)
  if path.suffix not in FORMATS:
    raise UserError(f'--out {out}: expected a file that ends in {", ".join(FORMATS)}')
  opened = hand_off.open_run(workdir, which)
  config = dataclasses.replace(opened.config, model=stages.model_config(opened.config))
  network = network_of(config.model)
  if network is None or 'model/generator/constant' not in opened.arrays:
    spaces = ', '.join(name for name, _ in config.model.banks)
    raise UserError(f'{workdir}: no official generator is like this run of stage {config.run.stage} with {spaces}')
  signs = integrity.about(opened.path)['run'].get('imported', {}).get('bank_signs')
  params = dict(_host(hand_off.read_run(workdir, which, raw=raw).params))
  audio, discriminator = params.pop(AUDIO, None), _host(hand_off.read_part(opened, 'discriminator'))
  try:
    groups = {'gen': (network, to_official({'params': params}, config.model, network, signs))}
    if discriminator:
      arrays = to_official({'params': discriminator}, config.model, 'discriminator')
      groups['dis'] = ('discriminator', arrays)
    if audio is not None:
      groups['audio2lip'] = ('audio2lip', to_official(audio, config.audio, 'audio2lip'))
  except ValueError as error:
    raise UserError(f'{workdir}: {error}') from None
  if path.suffix == '.safetensors':
    groups = {'gen': groups['gen']}
    _write(path, lambda part: safetensors_file.write(part, groups['gen'][1], {'network': network}))
  else:
    _write(path, lambda part: torch_writer.write(part, {name: arrays for name, (_, arrays) in groups.items()}))
  return Exported(path, {name: len(arrays) for name, arrays in groups.values()}, opened.step)


def _host(params: Mapping[str, Any]) -> Mapping[str, Any]:
  return jax.tree.map(np.asarray, params)


def _write(path: pathlib.Path, write) -> None:
  """Writes under a temporary name and renames."""
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(path.name + '.part')
  try:
    write(part)
    part.replace(path)
  finally:
    part.unlink(missing_ok=True)
