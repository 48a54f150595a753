"""The official audio-to-mouth trainer's loss terms against ours, but for the perceptual one, which test_vgg compares.

The mouth weights that it was to reach are recorded, so the encoder takes no part. Its expert is given RGB in [-1, 1]
and the mel window around the first frame, where ours gets the one that begins with it (docs/stages/audio_to_mouth.md).
"""

import types

import jax
import numpy as np
import pytest

from edtalk_jax.config import Config, LossConfig, PerceptualConfig
from edtalk_jax.networks.audio import AudioToMouth
from edtalk_jax.networks.sync_expert import SyncExpert
from edtalk_jax.stages import audio_to_mouth, lips, losses
from edtalk_jax.stages.networks import Networks
from edtalk_jax.weights import from_official, to_official
from tests.parity.golden import Case
from tests.shared import conventions, parity_dir

pytestmark = pytest.mark.release

PATH = parity_dir() / 'case_train_audio2mouth_256.npz'
TERMS = {
  'recon_l2_loss': 'weights',
  'recon_smooth': 'smooth',
  'recon_l1_loss': 'l1',
  'img_l1_sync': 'face_l1',
  'sync': 'sync',
}


def _weights(network, suffix=''):
  pack = conventions(parity_dir())
  manifest = pack.load_manifest(parity_dir() / f'manifest_{network}{suffix}.json')
  return from_official(pack.make_weights(manifest, int(np.load(PATH)['seed'])), network)


@pytest.fixture(scope='module')
def found():
  """Our terms, and the audio network's variables after the step."""
  case = Case(PATH)
  model, variables = _weights('lip_pose', '_256')
  audio_config, audio = _weights('audio2lip')
  expert = _weights('syncnet')[1]
  config = Config(model=model, loss=LossConfig(adversarial=0.0), perceptual=PerceptualConfig(scales=()))
  networks = Networks(config)
  scored = types.SimpleNamespace(
    agreement=lambda variables, mel, faces: lips.agreement(*SyncExpert().apply(variables, mel, faces))
  )

  @jax.jit
  def run(params, audio, expert, batch):
    heard, moved = AudioToMouth().apply(audio, batch['audio_features'], train=True, mutable=['batch_stats'])
    source, real = (losses.to_unit_range(batch[name]) for name in ('identity_u8', 'target_u8'))
    codes, maps = networks.encode(params, source[:, None])
    fake = audio_to_mouth._paint(
      {'mouth': heard, 'pose': batch['pose_features']}, networks=networks, model=params, code=codes, maps=maps
    )
    batch = {**batch, 'boxes': batch['bbox'], 'sync_mel': batch['audio_features'][:, 0]}
    frozen = {'sync_expert': expert, 'perceptual': {}}
    found = audio_to_mouth.terms(heard, batch['lip_features'], fake, real, None, frozen, batch, networks, scored)
    return found, moved

  names = ('audio_features', 'lip_features', 'pose_features', 'identity_u8', 'target_u8', 'bbox')
  terms, moved = run(variables['params'], audio, expert, {name: case.array(name) for name in names})
  return case, terms, to_official({**audio, **moved}, audio_config, 'audio2lip')


@pytest.mark.parametrize(('theirs', 'ours'), TERMS.items())
def test_terms(found, theirs, ours):
  case, terms, _ = found
  assert case.near(f'loss/{theirs}', np.mean(terms[ours])), (case.output(f'loss/{theirs}'), np.mean(terms[ours]))


def test_statistics_move_as_theirs_do_in_training_mode(found):
  """They do so in the official trainer although the encoder is frozen; ours moves them only where it trains."""
  case, _, after = found
  names = case.recorded('buffer_after/')
  assert len(names) == 26
  assert all(case.near(name, after[name.removeprefix('buffer_after/')]) for name in names)
