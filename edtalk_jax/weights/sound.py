"""Released files of the audio encoder and of the sync expert."""

import pathlib
from typing import Any

import numpy as np

from edtalk_jax.weights import files
from edtalk_jax.weights.official import from_official

_SIZE = 512  # features of the audio encoder at width 1


def load_sync_expert(path: str | pathlib.Path) -> dict[str, Any]:
  """Reads a Wav2Lip expert (`lipsync_expert.pth`, or the `ckpt/checkpoint.pth` of EDTalk's trainer).

  Returns:
    Variables of `SyncExpert()`. It expects BGR in [0, 1] and the mel window that begins with the first face.

  Raises:
    ValueError: if the file is missing, damaged, or holds no expert.
  """
  arrays = files.read(path, 'sync expert', within=('state_dict',))
  return _of_full_width(arrays, 'syncnet', path)


def load_audio_encoder(path: str | pathlib.Path, mouth_size: int) -> tuple[dict[str, Any], bool]:
  """Reads the audio encoder of Wav2Lip (`wav2lip.pth`), or the whole of Audio2Lip (`Audio2Lip.pt`).

  Returns:
    Variables of `AudioToMouth(mouth_size)`, and whether the file has its mapping; otherwise that is zero, and says the
    same whatever it hears.

  Raises:
    ValueError: if the file is missing, damaged, or holds none, or its mapping is of another mouth bank.
  """
  arrays = files.read(path, 'audio encoder', within=('audio2lip', 'state_dict'))
  arrays = {name.removeprefix('module.'): array for name, array in arrays.items()}
  arrays = {name: array for name, array in arrays.items() if name.startswith(('audio_encoder.', 'mapping.'))}
  mapped = 'mapping.weight' in arrays
  if not mapped:
    arrays |= {'mapping.weight': np.zeros((mouth_size, _SIZE)), 'mapping.bias': np.zeros(mouth_size)}
  found = arrays['mapping.weight'].shape[0]
  if found != mouth_size:
    raise ValueError(f'audio encoder: {path} drives a mouth bank of {found}, the model has one of {mouth_size}')
  return _of_full_width(arrays, 'audio2lip', path), mapped


def _of_full_width(arrays: dict[str, np.ndarray], network: str, path) -> dict[str, Any]:
  config, variables = from_official(arrays, network)
  if config.width != 1:
    raise ValueError(f'{network}: {path} has {config.width:g} times the channels of a released one')
  return variables
