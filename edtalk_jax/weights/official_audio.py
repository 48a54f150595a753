"""Audio2Lip and the sync expert of official checkpoints, BatchNorm's running statistics included.

The expert is Wav2Lip's `SyncNet_color`, so released Wav2Lip experts load as well; a leading 'module.' is ignored.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax.config import AudioConfig
from edtalk_jax.networks import audio, sync_expert
from edtalk_jax.weights import checks
from edtalk_jax.weights.official_names import CONV, DENSE, VECTOR, Entry, saved_shapes

Arrays = Mapping[str, np.ndarray]

# Official name of each stack of convolutions, our path, and its layers.
STACKS = {
  'audio2lip': (('audio_encoder', 'encoder', audio.ENCODER),),
  'syncnet': (('face_encoder', 'face', sync_expert.FACE), ('audio_encoder', 'audio', sync_expert.AUDIO)),
}
STEP = 'conv_block.1.num_batches_tracked'  # PyTorch's count of batches, which a fixed momentum does not use


def load(arrays: Arrays, network: str) -> tuple[AudioConfig, dict[str, Any]]:
  """Returns the config and `{'params': ..., 'batch_stats': ...}` in float32; see `official.from_official`."""
  arrays = {name.removeprefix('module.'): array for name, array in arrays.items() if not name.endswith(STEP)}
  found = list(_entries(network))
  checks.names(network, missing={e.name for e in found} - set(arrays), unknown=set(arrays) - {e.name for e in found})
  config = AudioConfig(width=len(arrays['audio_encoder.0.conv_block.0.bias']) / audio.ENCODER[0].channels)
  mouth_size = len(arrays['mapping.bias']) if network == 'audio2lip' else 0
  checks.shapes(network, arrays, saved_shapes(found, _expected(network, config.width, mouth_size)))
  flat = {e.path: np.ascontiguousarray(e.layout.load(np.asarray(arrays[e.name], np.float32))) for e in found}
  return config, flax.traverse_util.unflatten_dict(flat, sep='/')


def save(variables: Mapping[str, Any], network: str) -> dict[str, np.ndarray]:
  """The inverse of `load`; counts of batches are zero."""
  flat = {path: np.asarray(a) for path, a in flax.traverse_util.flatten_dict(dict(variables), sep='/').items()}
  found = list(_entries(network))
  checks.names(network, missing={e.path for e in found} - set(flat), unknown=set(flat) - {e.path for e in found})
  arrays = {e.name: np.ascontiguousarray(e.layout.save(flat[e.path])) for e in found}
  steps = {
    f'{name}.{k}.{STEP}': np.zeros((), np.int64) for name, _, layers in STACKS[network] for k in range(len(layers))
  }
  return arrays | steps


def _entries(network: str) -> Iterator[Entry]:
  for name, path, layers in STACKS[network]:
    for index in range(len(layers)):
      block, ours = f'{name}.{index}.conv_block', f'{path}/block_{index}'
      yield Entry(f'{block}.0.weight', f'params/{ours}/kernel', CONV)
      yield Entry(f'{block}.0.bias', f'params/{ours}/bias', VECTOR)
      yield Entry(f'{block}.1.weight', f'params/{ours}/norm/scale', VECTOR)
      yield Entry(f'{block}.1.bias', f'params/{ours}/norm/bias', VECTOR)
      yield Entry(f'{block}.1.running_mean', f'batch_stats/{ours}/norm/mean', VECTOR)
      yield Entry(f'{block}.1.running_var', f'batch_stats/{ours}/norm/variance', VECTOR)
  if network == 'audio2lip':
    yield Entry('mapping.weight', 'params/mapping/kernel', DENSE)
    yield Entry('mapping.bias', 'params/mapping/bias', VECTOR)


def _expected(network: str, width: float, mouth_size: int) -> dict[str, Any]:
  mel = jnp.zeros((1, audio.MEL_BANDS, audio.MEL_COLUMNS))
  if network == 'audio2lip':
    return jax.eval_shape(audio.AudioToMouth(mouth_size, width).init, jax.random.key(0), mel)
  faces = jnp.zeros((1, sync_expert.FRAMES, sync_expert.FACE_SIZE, sync_expert.FACE_SIZE, 3))
  return jax.eval_shape(sync_expert.SyncExpert(width).init, jax.random.key(0), mel, faces)
