"""`config.json`: what a run is, written once, and compared when the same command is run again."""

import dataclasses
import json
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

import flax
import jax
import numpy as np
import optax
import orbax.checkpoint

from edtalk_jax import settings as settings_lib
from edtalk_jax._version import __version__
from edtalk_jax.config import Config, UserError

FILE = 'config.json'
# Changing these between two starts of a run changes neither the mathematics of a step nor the examples, but for those
# that meet a corrupt record: a run that stopped there may go on without it.
# `data.motion` names a folder; what counts is the fingerprint of the weights, which is compared.
FREE = (
  'run.steps', 'log.', 'checkpoint.', 'data.workers', 'data.on_corrupt', 'data.motion', 'mesh.', 'guard.',
  'model.remat', 'optimizer.accumulate', 'run.compiler',
)  # fmt: skip
# Names a run, whose fingerprint is compared and not its folder, so that runs may be moved; or a released file.
RUN_OR_FILE = 'audio.sync_expert'


def describe(config: Config, about: Mapping[str, Any]) -> dict[str, Any]:
  """The content of config.json: the whole configuration, versions, and `about` (data set, VGG features, origin)."""
  return {
    'config': dataclasses.asdict(config),
    **about,
    'versions': {
      'edtalk_jax': __version__,
      'python': platform.python_version(),
      'jax': jax.__version__,
      'flax': flax.__version__,
      'optax': optax.__version__,
      'orbax-checkpoint': orbax.checkpoint.__version__,
      'numpy': np.__version__,
    },
    'devices': [str(device) for device in jax.devices()],
  }


def write(workdir: pathlib.Path, content: Mapping[str, Any]) -> None:
  """Writes config.json, whole or not at all."""
  workdir.mkdir(parents=True, exist_ok=True)
  temporary = workdir / (FILE + '.tmp')
  temporary.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
  temporary.replace(workdir / FILE)


def read(workdir: pathlib.Path) -> dict[str, Any]:
  """Reads config.json. Raises UserError if the folder is no run."""
  try:
    return json.loads((workdir / FILE).read_text(encoding='utf-8'))
  except (FileNotFoundError, NotADirectoryError):
    raise UserError(f'{workdir}: no run here (there is no {FILE}); train.py --workdir makes one') from None
  except json.JSONDecodeError as error:
    raise UserError(f'{workdir / FILE}: not valid JSON ({error})') from None


def config_of(content: Mapping[str, Any], where: str) -> Config:
  """The configuration in the content of a config.json. Raises UserError if another version wrote it."""
  try:
    return settings_lib.from_dict(Config, content['config'])
  except (KeyError, ValueError) as error:
    writer = content.get('versions', {}).get('edtalk_jax', 'an unknown version')
    raise UserError(f'{where} was written by edtalk_jax {writer}, this is {__version__}: {error}') from None


def check_same(workdir: pathlib.Path | str, old: Mapping[str, Any], content: Mapping[str, Any]) -> None:
  """Raises UserError if `workdir` holds a run, `old`, of other settings, data or features than `content` says."""
  # Through the dataclass, so that a field which is newer than the run has its default there.
  before, now = _flat(dataclasses.asdict(config_of(old, str(workdir)))), _flat(content['config'])
  differing = [
    f'{name}: {before.get(name)!r} there, {now.get(name)!r} here'
    for name in sorted({*before, *now})
    if before.get(name) != now.get(name)
    and not name.startswith(FREE)
    and not (name == RUN_OR_FILE and _is_run(before[name]) and _is_run(now[name]))
  ]
  for name, get in (
    ('data set', lambda record: record['data']['fingerprint']),
    ('perceptual features', lambda record: record['perceptual_features']),
    ('motion weights', lambda record: record.get('motion')),
    ('networks of other runs', lambda record: record.get('reads') or {}),
    ('files beside the records', lambda record: record.get('inputs') or {}),
  ):
    if get(old) != get(content):
      differing.append(f'{name}: {get(old)} there, {get(content)} here')
  if differing:
    raise UserError(f'{workdir} holds a run with other settings ({"; ".join(differing)}); choose another --workdir')


def _is_run(path: str) -> bool:
  """Whether it names a run, here or where it was, and neither nothing nor a file."""
  return bool(path) and not pathlib.Path(path).is_file()


def other_versions(old: Mapping[str, Any], content: Mapping[str, Any]) -> str:
  """Names the packages whose version changed between two starts of a run; '' if none did."""
  before, now = old['versions'], content['versions']
  return ', '.join(
    f'{name} {before.get(name)} then, {now.get(name)} now'
    for name in sorted({*before, *now})
    if before.get(name) != now.get(name)
  )


def _flat(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  flat = {}
  for name, value in tree.items():
    if isinstance(value, dict):
      flat.update(_flat(value, f'{prefix}{name}.'))
    else:
      flat[prefix + name] = value
  return flat
