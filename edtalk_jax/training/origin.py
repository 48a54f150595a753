"""Where a run comes from, as `config.json` says it: stage, earlier runs, perceptual features, data set."""

import hashlib
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from data_pipeline import digests, records
from edtalk_jax import storage
from edtalk_jax.config import Config, UserError
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import examples
from edtalk_jax.training import hand_off as hand_off_lib
from edtalk_jax.training.hand_off import Opened


def describe(
  config: Config, stage: Stage, given: str | None, data: str | None, start_from: str | None, motion: Opened | None
) -> dict[str, Any]:
  """What `config.json` says besides the configuration. `data` is where this machine has what the user named as `given`.

  Raises:
    UserError: if a file or run that the configuration names cannot be read, or `given` is missing.
  """
  return {
    'stage': stage.name,
    'start_from': start_from,
    'start_fingerprint': None,  # of the checkpoint there, known once it is opened
    'perceptual_features': _perceptual_features(config, stage),
    'motion': None if motion is None else {'fingerprint': motion.fingerprint},
    'reads': {name: hand_off_lib.open_run(run).fingerprint for name, run in stage.reads.items()},
    'inputs': _digests(examples.beside(config, stage, data)),
    'data': _data(config, given, data),
    'began': time.time(),  # of the first start, in seconds since 1970
  }


def _perceptual_features(config: Config, stage: Stage) -> str | None:
  if not stage.perceptual:
    return None
  if not config.perceptual.weights:
    return 'seeded random VGG19'
  try:
    content = pathlib.Path(config.perceptual.weights).read_bytes()
  except OSError as error:
    raise UserError(f'perceptual.weights={config.perceptual.weights}: {error.strerror}') from None
  return f'VGG19, sha256 {hashlib.sha256(content).hexdigest()}'


def _data(config: Config, given: str | None, data: str | None) -> dict[str, str | None]:
  if config.data.synthetic_batch:
    return {'path': None, 'fingerprint': 'synthetic batch'}
  if data is None:
    raise UserError('--data is missing: give a folder of records, or --set data.synthetic_batch=True to do without')
  path = given if storage.is_remote(given) else str(pathlib.Path(data).resolve())
  return {'path': path, 'fingerprint': records.fingerprint(data)}


def _digests(inputs: Mapping[str, str]) -> dict[str, str]:
  try:
    return {name: digests.of_file(path) if path else '' for name, path in inputs.items()}
  except OSError as error:
    raise UserError(f'{error.filename}: {error.strerror}') from None
