"""Pictures too large for one device: feature maps whose rows are divided over the mesh axis `spatial`.

Networks say which maps may be divided; without such an axis in the mesh (`mesh.spatial=1`) nothing here does anything.
The compiler finds the rest: convolutions and filters exchange the rows at the cuts with their neighbours, sums over
pixels are added up over the axis, and the warp, which may fetch from anywhere, gathers the map it fetches from.
"""

import math
from collections.abc import Callable

import jax
from jax.sharding import PartitionSpec as P

AXIS = 'spatial'
# Below as many rows a device, maps are small, and their neighbours' rows would be as many as their own.
LEAST_ROWS = 8


def split_rows(x: jax.Array) -> jax.Array:
  """The identity on x[batch, height, width, channels], whose rows are divided if each device gets LEAST_ROWS or more.

  Smaller maps are whole on every device of the axis. The mesh is the one of `jax.set_mesh`.
  """
  devices = jax.sharding.get_abstract_mesh().shape.get(AXIS, 1)
  if devices == 1:
    return x
  split = x.shape[1] % (devices * LEAST_ROWS) == 0
  free = P.UNCONSTRAINED
  return jax.lax.with_sharding_constraint(x, P(free, AXIS if split else None, free, free))


def undivided_rows() -> bool:
  """Whether no map's rows are divided on the mesh of `jax.set_mesh`."""
  return jax.sharding.get_abstract_mesh().shape.get(AXIS, 1) == 1


def pictures(x: jax.Array) -> int:
  """How many of x[batch, ...] a device has at most, if the mesh of `jax.set_mesh` divides them as it does a batch."""
  mesh = jax.sharding.get_abstract_mesh()
  return -(-x.shape[0] // math.prod(count for name, count in mesh.shape.items() if name != AXIS))


def on_shares(identity: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
  """`identity`, which changes where numbers are and no number, on each device's share of x[batch, ...].

  Of the whole array XLA may not know how to divide it, and then gathers the array on every device. Where a mesh gives
  devices no equal shares of the batch, or divides rows, `x` is returned as it is.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if math.prod(mesh.shape.values()) == 1:
    return identity(x)
  axes = tuple(name for name in mesh.shape if name != AXIS)
  if mesh.shape.get(AXIS, 1) > 1 or len(x) % math.prod(mesh.shape[name] for name in axes):
    return x
  return jax.shard_map(identity, in_specs=P(axes), out_specs=P(axes))(x)
