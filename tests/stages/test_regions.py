"""Where eyes, brows and mouths are, and that they count more there and only there."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipeline import loader
from data_pipeline.datasets import synthetic
from data_pipeline.synthetic.clip import Plan
from edtalk_jax import stages
from edtalk_jax.config import LossConfig
from edtalk_jax.stages import losses, regions
from edtalk_jax.training import feed
from tests import tiny

STAGES = {'reconstruction': ('target',), 'expression': ('target',), 'mouth_pose': ('target_a', 'target_b')}


def test_pixels_count_by_their_distance_from_the_nearest_points():
  marks = np.full((1, 68, 2), np.inf, np.float32)  # not found
  marks[0, 40], marks[0, 0], marks[0, 30] = (8, 20), (30, 30), (40, 10)  # an eye; jaw and nose, which do not count
  batch = {'target': np.zeros((1, 64, 64, 3), np.uint8), 'target_landmarks': marks}
  found = np.asarray(regions.emphasis(LossConfig(regions=3.0), batch, ('target',)))
  assert found.shape == (1, 1, 64, 64, 1)
  reach = regions.REACH * 64
  x, y = np.meshgrid(np.arange(64), np.arange(64))
  expected = 1 + 3 * np.exp(-((x - 8) ** 2 + (y - 20) ** 2) / (2 * reach**2))
  np.testing.assert_allclose(found[0, 0, :, :, 0], expected, atol=1e-5)


def test_no_pixel_counts_more_than_asked_for_where_points_lie_close():
  batch = {'target': np.zeros((2, 32, 32, 3), np.uint8), 'target_landmarks': np.full((2, 68, 2), 9, np.float32)}
  found = np.asarray(regions.emphasis(LossConfig(regions=3.0), batch, ('target',)))
  assert found.max() == 4 and found.min() == pytest.approx(1, abs=1e-5)


def test_errors_count_as_often_as_their_pixels():
  rng = np.random.default_rng(0)
  one, other = rng.normal(size=(2, 3, 2, 8, 8, 3)).astype(np.float32)
  weight = rng.uniform(1, 4, (3, 2, 8, 8, 1)).astype(np.float32)
  expected = (np.abs(one - other) * weight).mean((2, 3, 4)).sum(1)
  np.testing.assert_allclose(losses.l1(one, other, weight), expected, rtol=1e-5)
  np.testing.assert_allclose(losses.l1(one, other, jnp.ones_like(weight)), losses.l1(one, other), rtol=1e-6)


def test_as_published_nothing_is_asked_for():
  assert regions.asked(LossConfig(), ('target',)) == {}
  assert regions.emphasis(LossConfig(), {}, ('target',)) is None


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp('records')
  synthetic.make(Plan(clips=8, size=32, people=4, frames=5), folder, workers=0)
  return folder


@pytest.mark.parametrize('name', STAGES)
def test_examples_of_a_stage_hold_what_its_loss_asks_for(data, name):
  config = tiny.config(name)
  config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, regions=5.0))
  stage = stages.build(config)
  with loader.make_loader(
    data,
    split='train',
    sampler=name,
    image_size=config.model.image_size,
    seed=0,
    workers=0,
    batch_size=config.data.batch_size,
    **stage.sampling,
  ) as batches:
    batch = {field: values for field, values in next(batches).items() if field not in feed.HOST_FIELDS}
  described = feed.shapes(config, stage)
  assert {field: (values.shape[1:], values.dtype) for field, values in batch.items()} == {
    field: (shape.shape, shape.dtype) for field, shape in described.items()
  }
  assert {f'{target}_landmarks' for target in STAGES[name]} <= set(batch)

  params = jax.eval_shape(stage.init, jax.random.key(0))
  frozen = jax.eval_shape(stage.init_frozen) if name != 'expression' else stage.init_frozen()
  terms, _ = jax.eval_shape(stage.model_losses, params['model'], params['discriminator'], frozen, batch)
  assert any(term.endswith('l1') for term in terms)
