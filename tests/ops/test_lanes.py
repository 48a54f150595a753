"""Which layers have columns side by side; that it changes no result is in test_convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax.ops import lanes, partition


def _together(*kernel_shape, pictures=8, width=32):
  return lanes.together(jnp.zeros((pictures, 4, width, kernel_shape[2])), kernel_shape)


def test_columns_fill_the_lanes_and_colours_several_times():
  assert _together(3, 3, 64, 64) == _together(1, 1, 32, 64) == 2
  assert _together(3, 3, 3, 64) == 16
  assert _together(1, 1, 3, 64) == _together(1, 1, 64, 3) == 16
  assert _together(3, 3, 64, 128) == 2


def test_more_pictures_than_a_tile_holds_have_pairs_at_most():
  assert _together(3, 3, 3, 64, pictures=9) == _together(1, 1, 3, 64, pictures=9) == 2
  assert _together(3, 3, 64, 128, pictures=9) == 1


@pytest.mark.parametrize('kernel_shape', [(3, 3, 128, 128), (4, 4, 64, 64), (3, 3, 64, 256), (1, 1, 64, 128)])
def test_other_layers_have_single_columns(kernel_shape):
  assert _together(*kernel_shape) == 1


@pytest.mark.parametrize('width, columns', [(16, 16), (8, 2), (7, 1)])
def test_columns_divide_the_width(width, columns):
  assert _together(1, 1, 3, 64, width=width) == columns


def test_columns_are_put_side_by_side_in_their_order():
  x = jnp.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
  joined = lanes.join_columns(x, 2)
  np.testing.assert_array_equal(joined[:, :, 1], jnp.concatenate([x[:, :, 2], x[:, :, 3]], -1))
  np.testing.assert_array_equal(lanes.split_columns(joined, 2), x)


def test_pictures_are_counted_on_each_device():
  found = []

  def count(x):
    found.append(partition.pictures(x))
    return x

  mesh = jax.make_mesh((2, 2, 2), ('data', 'fsdp', partition.AXIS), axis_types=(jax.sharding.AxisType.Auto,) * 3)
  with jax.set_mesh(mesh):
    jax.jit(count)(jnp.zeros((10, 2, 2, 1)))
  count(jnp.zeros((10, 2, 2, 1)))
  assert found == [3, 10]  # rows divided by the third axis are of the same pictures


def test_a_symbolic_batch_may_have_more_pictures_than_a_tile():
  found = []

  def choose(x):
    found.append(lanes.together(x, (1, 1, 3, 64)))
    return x

  (batch,) = jax.export.symbolic_shape('batch')
  jax.export.export(jax.jit(choose))(jax.ShapeDtypeStruct((batch, 4, 32, 3), jnp.float32))
  assert found == [2]
