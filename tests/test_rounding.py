"""Frames are the network's numbers, rounded to the nearest grey level."""

import jax
import numpy as np
import pytest

from edtalk_jax import inference
from edtalk_jax.networks.edtalk import EDTalk
from tests import tiny, untrained

CONFIG = tiny.config('mouth_pose')


@pytest.mark.integration
def test_no_pixel_is_further_than_half_a_grey_level_from_what_is_generated():
  model = CONFIG.model
  params = untrained.params(CONFIG)
  image = np.random.default_rng(0).integers(256, size=(1, 16, 16, 3), dtype=np.uint8)
  code, features, weights = inference.encode(model, params, image)
  basis = inference.basis(model, params)
  frames = np.asarray(inference.generate(model, params, basis, code, features, weights), np.float64)
  latent = code + sum(inference.directions(weights, basis, model).values())
  decode = jax.jit(lambda *inputs: EDTalk(model).apply({'params': params}, *inputs, method='decode'))
  exact = (np.asarray(decode(latent, features), np.float64) + 1) * 127.5
  inside = (exact > 0) & (exact < 255)
  assert inside.mean() > 0.3
  assert np.abs(frames - exact)[inside].max() < 0.501
  np.testing.assert_array_equal(frames[exact < 0], 0)
  np.testing.assert_array_equal(frames[exact > 255], 255)
