"""The first layers in blocks of pixels are the first layers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import ops
from edtalk_jax.ops import blocks
from tests.ops.agreement import assert_same_with_gradients, normal

SCALES = {'stem': 3**-0.5, 'conv_0': 54**-0.5, 'conv_1': 54**-0.5, 'skip': 6**-0.5}


def _layers(dtype=jnp.float32):
  shapes = {'stem': (1, 1, 3, 6), 'conv_0': (3, 3, 6, 6), 'conv_1': (3, 3, 6, 5), 'skip': (1, 1, 6, 5)}
  kernels = {name: normal(i, *shape).astype(dtype) for i, (name, shape) in enumerate(shapes.items())}
  return kernels, {name: normal(9, shape[-1]) for name, shape in shapes.items() if name != 'skip'}


@pytest.mark.parametrize('size', [(8, 8), (16, 16), (6, 20)])  # made 5 and 3 blocks at once, and one by one of 11
def test_forms_agree(size):
  forms = (functools.partial(form, scales=SCALES) for form in (blocks.in_blocks, blocks.layer_by_layer))
  assert_same_with_gradients(*forms, normal(5, 2, *size, 3), *_layers())


def test_a_bias_survives_products_that_round():
  values = normal(0, 100)
  first, rest = blocks._in_two_parts(values)
  np.testing.assert_array_equal(first, first.astype(jnp.bfloat16).astype(jnp.float32))
  # Each part is rounded by at most 2^-8 of itself, and the second is at most that of the first.
  np.testing.assert_allclose(first + rest.astype(jnp.bfloat16).astype(jnp.float32), values, rtol=2**-16)
  gradient = jax.grad(lambda values: jnp.sum(blocks._in_two_parts(values) * jnp.array([[2.0], [5.0]])))(values)
  np.testing.assert_array_equal(gradient, np.full(100, 2.0))


def test_beyond_the_border_there_is_nothing():
  kernels, biases = _layers()
  x = np.array(blocks._shifted_from_colours(normal(5, 1, 8, 8, 3), kernels['stem'], biases['stem'], SCALES['stem']))
  pixels = x.reshape(1, 5, 5, 2, 2, 6).swapaxes(2, 3).reshape(10, 10, 6)
  assert np.all(pixels[1:-1, 1:-1] != 0)
  pixels[1:-1, 1:-1] = 0
  assert np.all(pixels == 0)


def test_few_pictures_of_narrow_maps_are_for_blocks():
  pays = lambda pictures, channels, size=16: ops.first_block_pays(jnp.zeros((pictures, size, size, 3)), channels)
  assert pays(8, 64)
  assert not pays(8, 64, size=20)
  assert not pays(9, 64)
  assert not pays(8, 128)
  mesh = jax.make_mesh((2,), ('spatial',), axis_types=(jax.sharding.AxisType.Auto,))
  with jax.set_mesh(mesh):
    assert not pays(8, 64)
