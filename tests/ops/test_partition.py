"""Rows divided over devices: every operation gives the same, and sends only the rows at the cut."""

import importlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from edtalk_jax import ops
from edtalk_jax.ops import convolution, lanes, pooling, tpu_forms
from edtalk_jax.ops.partition import on_shares

warp = importlib.import_module('edtalk_jax.ops.warp')  # its name in `ops` is the function's

KERNEL = jax.random.normal(jax.random.key(0), (3, 3, 4, 4))
FLOW = 0.2 * jax.random.normal(jax.random.key(1), (2, 32, 32, 2))
MOVED = r' = \w+\[(\S*?)\]\S* (?:collective-permute|all-gather|all-reduce|all-to-all|reduce-scatter)(?:-start)?\('


def split(function, rows: int):
  """(result, what the operation and its gradient send between two devices) for a picture of `rows` rows."""
  mesh = jax.make_mesh((2,), ('spatial',), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
  x = jax.random.normal(jax.random.key(2), (2, rows, rows, 4))

  def both(x):
    y, pull_back = jax.vjp(lambda x: ops.split_rows(function(ops.split_rows(x))), x)
    return y, pull_back(jnp.cos(y))[0]

  with jax.set_mesh(mesh):
    rows_split = NamedSharding(mesh, P(None, 'spatial'))
    program = jax.jit(both, in_shardings=rows_split).lower(x).compile()
    result = program(jax.device_put(x, rows_split))
  return jax.device_get(result), jax.device_get(jax.jit(both)(x)), re.findall(MOVED, program.as_text())


@pytest.mark.parametrize(
  'function',
  [
    lambda x: convolution.same_conv(x, KERNEL),
    lambda x: convolution.downsample_folded(x, KERNEL),
    lambda x: convolution.upsample_folded(x, KERNEL),
    lambda x: tpu_forms.downsample(x, KERNEL),
    lambda x: tpu_forms.upsample(x, KERNEL),
    lambda x: lanes.split_columns(tpu_forms.conv_columns(lanes.join_columns(x, 4), KERNEL, 4), 4),
    ops.upsample,
    ops.max_pool,
    lambda x: pooling.convolve_in_quarters(x, KERNEL, 1),
    lambda x: lanes.split_columns(pooling.convolve_in_quarters(lanes.join_columns(x, 2), KERNEL, 2), 2),
  ],
  ids=[
    'conv',
    'downsample',
    'upsample',
    'downsample on a TPU',
    'upsample on a TPU',
    'columns side by side on a TPU',
    'rgb skip',
    'pool',
    'conv and pool on a TPU',
    'pairs and pool on a TPU',
  ],
)
def test_devices_exchange_the_rows_at_the_cut_alone(function):
  ours, whole, moved = split(function, 32)
  for mine, wanted in zip(ours, whole, strict=True):
    np.testing.assert_allclose(mine, wanted, atol=1e-5)
  assert all(int(shape.split(',')[1]) <= 2 for shape in moved), moved


def test_the_warp_fetches_rows_of_other_devices():
  ours, whole, moved = split(lambda x: ops.warp(x, FLOW), 32)
  for mine, wanted in zip(ours, whole, strict=True):
    np.testing.assert_allclose(mine, wanted, atol=1e-5)
  assert moved


def test_small_maps_stay_whole():
  _, _, moved = split(lambda x: convolution.same_conv(x, KERNEL), 8)
  # Gathered once each; a halo would be a row.
  assert all(shape.split(',')[1] == '8' for shape in moved), moved


def test_pictures_are_warped_where_they_are_in_whatever_order_devices_stand():
  # As on a torus of 512 TPUs: XLA gathered everything on every device.
  devices = np.array(jax.devices()[:8])[[0, 4, 2, 6, 1, 5, 3, 7]]
  mesh = jax.sharding.Mesh(devices, ('data',), axis_types=(AxisType.Auto,))
  features = jax.random.normal(jax.random.key(0), (8, 4, 4, 128))
  flow = jax.random.normal(jax.random.key(1), (8, 4, 4, 2))

  def both(features, flow):
    one = jnp.ones(flow.shape[:-1])
    y, pull_back = jax.vjp(lambda x, at: warp.sample_quads(x, 4 * at[..., 0], 4 * at[..., 1], one), features, flow)
    return y, pull_back(jnp.cos(y))

  with jax.set_mesh(mesh):
    program = jax.jit(both, in_shardings=NamedSharding(mesh, P('data'))).lower(features, flow).compile()
    ours = program(*jax.device_put((features, flow), NamedSharding(mesh, P('data'))))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), jax.device_get(ours), both(features, flow))
  assert not re.findall(MOVED, program.as_text())


@pytest.mark.parametrize('rows, axis', [(6, 'data'), (8, 'spatial')])
def test_what_is_not_divided_evenly_stays_as_it_is(rows, axis):
  with jax.set_mesh(jax.make_mesh((8,), (axis,), axis_types=(AxisType.Auto,))):
    assert 'shard_map' not in str(jax.make_jaxpr(lambda x: on_shares(lambda x: -x, x))(jnp.zeros((rows, 4, 4, 2))))


def test_the_identity_is_done_to_each_share():
  x = jnp.arange(16.0).reshape(8, 2)
  with jax.set_mesh(jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))):
    np.testing.assert_array_equal(jax.jit(lambda x: on_shares(lambda x: x * len(x), x))(x), x)
