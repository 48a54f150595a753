"""The personalize stage: what trains, what stays bit-equal, what it is judged by, and on which frames."""

import dataclasses

import jax
import numpy as np
import pytest

from data_pipeline import records
from data_pipeline.datasets import synthetic
from data_pipeline.synthetic.clip import Plan
from edtalk_jax import stages
from edtalk_jax.config import PersonalizeConfig, UserError
from edtalk_jax.evaluation import image_metrics, personalize
from edtalk_jax.stages.personalize import psnr
from edtalk_jax.training import trees
from edtalk_jax.training.examples import Examples
from tests import compiled, tiny

BANKS = (('mouth', 4), ('pose', 3), ('expression', 3))


def settings(train='decoder'):
  config = tiny.config('personalize', banks=BANKS, expression_module=True)
  return dataclasses.replace(config, run=dataclasses.replace(config.run, train=train))


@pytest.fixture(scope='module')
def trained():
  """The parameters before and after two steps of the decoder, and the last step's and a validation's metrics."""
  config = settings()
  parts = compiled.on_one_device(config)
  with jax.set_mesh(parts.mesh):
    frozen = parts.place_frozen(compiled.frozen(config))
    state = parts.init(jax.random.key(0))
    before = jax.device_get(state.model)
    for step in range(2):
      state, metrics = parts.train(state, frozen, tiny.batch(config, seed=step))
    batch = tiny.batch(config)
    images = parts.images(state.model, state.discriminator, frozen, batch)
    found = parts.validate(state.model, state.discriminator, frozen, batch)
  return before, *jax.device_get((state.model, metrics, images, found))


@pytest.mark.integration
def test_the_decoder_trains_and_all_else_is_frozen_to_the_last_bit(trained):
  before, after = trees.flatten(trained[0]), trees.flatten(trained[1])
  for path, array in after.items():
    assert np.array_equal(array, before[path]) != path.startswith('generator/'), path


def test_it_is_judged_by_the_psnr_of_what_it_paints(trained):
  _, _, metrics, images, validation = trained
  assert {'l1', 'perceptual', 'adversarial'} < set(metrics)
  assert set(validation) == {'minus_psnr', 'loss'}
  assert validation['loss'] == pytest.approx(-float(np.mean(psnr(images['fake'], images['real']))), abs=1e-3)


def test_psnr_is_that_of_the_evaluation():
  rng = np.random.default_rng(0)
  one, other = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
  signal = lambda image: (image.astype(np.float32) / 127.5 - 1)[None, None]
  np.testing.assert_allclose(psnr(signal(one), signal(other)), [image_metrics.psnr(one, other)], rtol=1e-5)
  assert float(psnr(signal(one) * 9, np.sign(signal(one)))[0]) > 12  # clipped as a picture is


def test_everything_can_train_and_nothing_else_can_be_chosen():
  assert stages.build(settings('everything')).trainable == ''
  with pytest.raises(UserError, match='stage personalize trains one of everything, decoder'):
    stages.build(settings('navigation'))


@pytest.fixture(scope='module')
def heads(tmp_path_factory):
  folder = tmp_path_factory.mktemp('heads') / 'records'
  synthetic.make(Plan(clips=6, size=32, seed=0, people=3, frames=10), str(folder), workers=0)
  return str(folder)


def test_held_out_frames_are_the_last_of_the_same_person(heads):
  config = settings()
  (person,) = {info.identity for info in records.Clips(heads, 'test').infos}
  config = dataclasses.replace(config, personalize=PersonalizeConfig(identity=person, split='test'))
  stage = stages.build(config)
  frames = {}
  for held_out in (False, True):
    with Examples(config, stage, heads).batches(start_step=0, workers=0, held_out=held_out) as batches:
      origins = np.concatenate([next(batches)['origin'] for _ in range(6)])
    assert all(origin.split('=')[1].startswith(person) for origin in origins.ravel())
    sources, targets = ([int(origin.rsplit(':')[-1]) for origin in column] for column in origins.T)
    assert max(sources) < 8
    frames[held_out] = set(targets)
  assert frames == {False: set(range(8)), True: {8, 9}}


def test_the_evaluation_compares_before_and_after():
  rng = np.random.default_rng(0)
  truth = rng.integers(40, 200, (2, 16, 16, 3), dtype=np.uint8)
  videos = [personalize.Scored(name, truth[0], truth, {'after': truth + 1, 'before': truth + 4}) for name in 'ab']
  rows = {row.label: row.value.mean for row in personalize._rows(videos, 0)}
  assert (rows['L1, grey levels'], rows['L1, grey levels: gain']) == (1.0, -3.0)
  assert rows['PSNR, dB: gain'] == pytest.approx(20 * np.log10(4))
  alone = [dataclasses.replace(video, painted={'after': truth}) for video in videos]
  assert not [row for row in personalize._rows(alone, 0) if 'gain' in row.label]
  assert personalize._pictures(videos).count('<figure>') == 2
