"""Rows divided over devices: every operation gives the same, and sends only the rows at the cut."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from edtalk_jax import ops
from edtalk_jax.ops import convolution

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
    ops.upsample,
    ops.max_pool,
  ],
  ids=['conv', 'downsample', 'upsample', 'rgb skip', 'pool'],
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
