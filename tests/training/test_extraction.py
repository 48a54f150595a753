"""Motion weights that a run reads of its data before it starts: whose they are, and when they are read again."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest

from data_pipeline import motion, records, sampling
from data_pipeline.errors import CorruptRecord
from edtalk_jax.config import LogConfig, UserError
from edtalk_jax.model import Model
from edtalk_jax.training import extraction, hand_off, train
from tests import tiny
from tests.faults import toy


def _train(config, workdir, data):
  train.train(config, workdir, data, say=lambda line: None, devices=jax.devices()[:1])


def _teacher(folder, heads, seed=0):
  """A run of stage mouth_pose as it was drawn."""
  config = tiny.config('mouth_pose')
  config = dataclasses.replace(
    config, run=dataclasses.replace(config.run, steps=0, seed=seed), log=LogConfig(validate_batches=0)
  )
  _train(config, str(folder), str(heads))
  return str(folder)


@pytest.fixture(scope='module')
def teacher(heads, tmp_path_factory):
  return _teacher(tmp_path_factory.mktemp('teacher') / 'run', heads)


def test_weights_are_the_models_and_read_once(heads, teacher):
  said = []
  source = hand_off.open_run(teacher)
  extract = functools.partial(extraction.ensure, source, str(heads), ('train', 'val'), batch=8, say=said.append)
  folder = extract()
  found, restored = motion.Motion(folder, 'train'), hand_off.read_run(teacher)
  model = Model(restored.config, restored.params)
  for clip in records.Clips(heads, 'train'):
    weights = found.weights(clip.clip_id)
    for bank, values in model.motion(clip.frames(16)).items():
      # Other pictures stand beside them in a batch of the device, which convolutions may add up in another order.
      np.testing.assert_allclose(weights[bank], values, rtol=1e-4, atol=1e-5)
  assert found.sizes == {'mouth': 4, 'pose': 3} and found.about['step'] == 0

  said.clear()
  assert extract() == folder and not said  # nothing is read again
  path = folder / 'train' / 'pose.npy'
  path.write_bytes(path.read_bytes()[:-1] + b'x')
  extract()
  assert len(said) == 2 and 'split train' in said[0]  # what is damaged, and nothing else
  motion.Motion(folder, 'train').verify()


class _OneIsBroken(list):
  def __getitem__(self, number):
    if number == 1:
      raise CorruptRecord('clip 1 is corrupt')
    return super().__getitem__(number)


def test_corrupt_clips_stop_or_are_left_out(heads):
  model = type(
    'Fake',
    (),
    {
      'image_size': 16,
      'batch_size': 2,
      'banks': ('mouth',),
      'motion': staticmethod(lambda images: {'mouth': images.astype(np.float32).mean((1, 2))}),
    },
  )
  clips = _OneIsBroken(records.Clips(heads, 'train'))
  lengths, weights = extraction.read(model, clips, 2, skip_corrupt=True)
  assert [clip for clip, _ in lengths] == [clips[k].clip_id for k in range(len(clips)) if k != 1]
  assert len(weights['mouth']) == sum(frames for _, frames in lengths)
  with pytest.raises(CorruptRecord):
    extraction.read(model, clips, 2, skip_corrupt=False)


def test_a_run_belongs_to_its_weights(heads, teacher, tmp_path, monkeypatch):
  """The toy stage, as if its examples held weights: another teacher's are refused on resuming."""
  other = _teacher(tmp_path / 'other', heads, seed=1)
  needs = dataclasses.replace(sampling.SAMPLERS['reconstruction'], motion=('mouth',))
  monkeypatch.setitem(sampling.SAMPLERS, 'reconstruction', needs)

  def train(teacher, steps):
    config = dataclasses.replace(toy.CONFIG, run=dataclasses.replace(toy.CONFIG.run, steps=steps))
    config = dataclasses.replace(
      config, data=dataclasses.replace(config.data, motion=teacher), log=LogConfig(samples_every=0, validate_batches=1)
    )
    _train(config, str(tmp_path / 'run'), str(heads))

  with pytest.raises(UserError, match='learns from motion weights; give'):
    train('', 1)
  train(teacher, 1)
  fingerprint = hand_off.open_run(teacher).fingerprint
  assert json.loads((tmp_path / 'run' / 'config.json').read_text())['motion'] == {'fingerprint': fingerprint}
  assert motion.Motion(motion.folder_of(heads, fingerprint), 'val').sizes == {'mouth': 4, 'pose': 3}
  train(teacher, 2)
  with pytest.raises(UserError, match='motion weights: '):
    train(other, 3)
