"""Generator and the whole model: what reaches the image, compute types, capture, errors."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax.networks import EDTalk, Encoder, directions
from tests.networks.tiny import CONFIG, apply, images, paths, variables

MODEL = EDTalk(CONFIG)
SOURCE, DRIVER = images(1), images(2)


def _encode(model=MODEL, v=None):
  return apply(model, v or variables(), SOURCE, method='encode')


def test_call_is_encode_motion_decode():
  v = variables()
  code, features = _encode()
  weights = apply(MODEL, v, apply(MODEL, v, DRIVER, method='encode')[0], method='motion')
  shifts = directions(weights, apply(MODEL, v, method='basis'), CONFIG)
  image = apply(MODEL, v, code + sum(shifts.values()), features, shifts['expression'], method='decode')
  # The same operations, fused otherwise; warps of noise amplify the rounding.
  np.testing.assert_allclose(image, apply(MODEL, v, SOURCE, DRIVER), atol=1e-4)


def test_colours_come_from_the_features_alone():
  code, features = _encode()
  black = apply(MODEL, variables(), code, [jnp.zeros_like(f) for f in features], method='decode')
  np.testing.assert_array_equal(black, 0)  # all biases of the colours start at zero


@pytest.mark.integration
def test_every_parameter_gets_a_gradient():
  def loss(v):
    return jnp.mean(jnp.abs(MODEL.apply(v, SOURCE, DRIVER) - DRIVER))

  silent = [path for path, g in paths(jax.jit(jax.grad(loss))(variables())).items() if not g.any()]
  assert silent == []


def test_expression_is_optional_and_acts():
  v, (code, features) = variables(), _encode()
  without = apply(MODEL, v, code, features, method='decode')
  plain = EDTalk(dataclasses.replace(CONFIG, expression_module=False))
  np.testing.assert_array_equal(without, apply(plain, v, code, features, method='decode'))
  with_expression = apply(MODEL, v, code, features, jnp.ones_like(code), method='decode')
  assert np.abs(with_expression - without).max() > 1e-3


def test_expression_without_module_is_an_error():
  plain, (code, features) = EDTalk(dataclasses.replace(CONFIG, expression_module=False)), _encode()
  with pytest.raises(ValueError, match='expression_module is False'):
    apply(plain, variables(), code, features, code, method='decode')


def test_missing_levels_are_an_error():
  code, features = _encode()
  with pytest.raises(ValueError, match=r'features have sizes \[8\], expected 8, 16, ..., 16'):
    apply(MODEL, variables(), code, features[:1], method='decode')


def test_images_of_another_size_are_an_error():
  with pytest.raises(ValueError, match=r'images has shape \(1, 32, 32, 3\), expected \(batch, 16, 16, 3\)'):
    Encoder(CONFIG).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32():
  model = EDTalk(dataclasses.replace(CONFIG, dtype='bfloat16'))
  v = variables()
  shapes = jax.eval_shape(model.init, jax.random.key(0), SOURCE, DRIVER)
  assert jax.tree.all(jax.tree.map(lambda a, b: a.shape == b.shape and b.dtype == jnp.float32, v, shapes))
  code, features = _encode(model, v)
  assert code.dtype == jnp.float32 and {f.dtype for f in features} == {jnp.dtype('bfloat16')}
  image, state = apply(model, v, code, features, code, method='decode', capture=True)
  taps = state['intermediates']['generator']
  assert taps['conv_16']['__call__'][0].dtype == taps['flow_16']['warped'][0].dtype == jnp.bfloat16
  assert taps['flow_16']['raw'][0].dtype == taps['rgb_16']['rgb'][0].dtype == image.dtype == jnp.float32
  exact = apply(MODEL, v, code, [f.astype(jnp.float32) for f in features], code, method='decode')
  # Measured 0.06: 8 bits of mantissa through 7 convolutions. A wrong path would differ by the size of the image.
  assert np.isfinite(image).all() and np.abs(image - exact).mean() < 0.2 * np.abs(exact).mean()


def test_intermediates_are_captured_on_request_only():
  v, (code, features) = variables(), _encode()
  image, state = apply(MODEL, v, code, features, method='decode', capture=True)
  taps = state['intermediates']['generator']
  assert set(taps['flow_8']) >= {'raw', 'mask', 'warped', 'blended'}
  np.testing.assert_array_equal(taps['rgb_16']['rgb'][0], image)
  assert 'intermediates' not in variables()  # init sows as well; variables must hold parameters alone
