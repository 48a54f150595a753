"""Audio2Lip and the sync expert against the official code: every block, both modes of BatchNorm, running statistics."""

import functools

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax.networks import audio, sync_expert
from edtalk_jax.weights import from_official, to_official
from tests.parity.golden import Case
from tests.shared import parity_dir

pytestmark = pytest.mark.release


def _case(net: str) -> Case:
  return Case(parity_dir() / f'case_{net}.npz')


def _blocks(state, ours: str, official: str, layers) -> dict[str, np.ndarray]:
  taps = state['intermediates'][ours]
  return {f'{official}.{k}': taps[f'block_{k}']['__call__'][0] for k in range(len(layers))}


@functools.partial(jax.jit, static_argnames=('model', 'train'))
def _apply(model, variables, *inputs, train=False):
  mutable = ['intermediates', 'batch_stats'] if train else ['intermediates']
  return model.apply(variables, *inputs, train=train, mutable=mutable, capture_intermediates=True)


def test_audio2lip():
  case = _case('audio2lip')
  config, variables = from_official(case.weights(), 'audio2lip')
  assert config.width == 1 and variables['params']['mapping']['bias'].shape == (20,)
  model, mel = audio.AudioToMouth(), case.input('mel_windows')
  detail = mel[case.input('frames_detail')]
  lip, state = _apply(model, variables, detail)
  blocks = _blocks(state, 'encoder', 'audio_encoder', audio.ENCODER)
  found = {'detail/lip': lip, **{f'detail/{name}': value for name, value in blocks.items()}}
  found['all/lip'] = _apply(model, variables, mel)[0]
  found['all/lip_smoothed'] = audio.smooth(found['all/lip'])
  found['train_mode/lip'], state = _apply(model, variables, detail, train=True)
  after = to_official({'params': variables['params'], 'batch_stats': state['batch_stats']}, config, 'audio2lip')
  found |= {f'train_mode/buffer/{name}': array for name, array in after.items() if 'running' in name}
  case.check(found, {})


def test_sync_expert():
  case = _case('syncnet')
  config, variables = from_official(case.weights(), 'syncnet')
  faces = case.input('faces_u8')
  (sound, lips), state = _apply(sync_expert.SyncExpert(config.width), variables, case.input('mel')[:, 0], faces)
  cosine = jnp.sum(sound * lips, axis=-1)
  found = {
    'face_input': sync_expert.lower_halves(faces),
    'audio_embedding': sound,
    'face_embedding': lips,
    'cosine': cosine,
    'bce_all_in_sync': -jnp.mean(jnp.log(cosine)),
    **_blocks(state, 'face', 'face_encoder', sync_expert.FACE),
    **_blocks(state, 'audio', 'audio_encoder', sync_expert.AUDIO),
  }
  case.check(found, {})


@pytest.mark.parametrize('net', ['audio2lip', 'syncnet'])
def test_export_of_an_import(net):
  case = _case(net)
  official = case.weights()
  config, variables = from_official(official, net)
  arrays = to_official(variables, config, net)
  assert {name: array.shape for name, array in arrays.items()} == case.state_dict_shapes()
  for name, array in official.items():
    np.testing.assert_array_equal(arrays[name], array, err_msg=name)


def test_frozen_means_frozen():
  """Without `train`, running statistics stay as they are even where the caller would let them move."""
  _, variables = from_official(_case('audio2lip').weights(), 'audio2lip')
  mel = np.random.default_rng(0).uniform(-4, 4, (2, 80, 16)).astype(np.float32)
  _, state = audio.AudioToMouth().apply(variables, mel, train=False, mutable=['batch_stats'])
  before, after = (flax.traverse_util.flatten_dict(s['batch_stats'], sep='/') for s in (variables, state))
  for path, array in before.items():
    np.testing.assert_array_equal(after[path], array, err_msg=path)
