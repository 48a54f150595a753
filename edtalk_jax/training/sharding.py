"""Where every array lives: one mesh, one table of rules, first match wins."""

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from edtalk_jax.config import MeshConfig, UserError
from edtalk_jax.ops.partition import AXIS as SPATIAL
from edtalk_jax.training import trees

# Optimiser moments repeat their parameter's path, so the same rules place them.
RULES: tuple[tuple[str, P], ...] = (
  # Outputs of a handful of channels (RGB, flow and mask, logits, bank weights) are not worth dividing.
  (r'/(rgb|flow)_\d+/(conv/)?(kernel|bias)$|/logit/', P()),
  (r'/heads/\w+/linear_\d+/(kernel|bias)$|/mapping/kernel$', P()),
  (r'/banks/\w+$', P()),  # QR needs a bank whole
  (r'/constant$', P()),
  (r'/(flow|semantic)/', P()),  # a million numbers each
  (r'/(bias|scale)$', P()),
  (r'/batch_stats/(.+/)?(mean|variance)$|/population/', P()),
  (r'^frozen/(emotion|identity)(/|$)', P()),  # the user's networks, whatever is in them
  (r'^(step|skipped|skipped_in_row)$|/count$|^regularisers/', P()),
)
# Output channels of dense (in, out) and convolution (height, width, in, out) kernels.
KERNEL_AXIS = {2: P(None, 'fsdp'), 4: P(None, None, None, 'fsdp')}

# The leading axis of every batch array. Devices along `spatial` all get whole uint8 pictures, and divide what they
# compute from them (`ops.split_rows`).
BATCH = P(('data', 'fsdp'))


def make_mesh(config: MeshConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
  """Builds the `data` x `fsdp` x `spatial` mesh over all devices.

  Raises:
    UserError: if the devices do not fill it, or if a picture would be divided over several processes.
  """
  devices = jax.devices() if devices is None else devices
  rest = config.fsdp * config.spatial
  data = len(devices) // rest if config.data == -1 else config.data
  if data * rest != len(devices):
    raise UserError(
      f'mesh.data={config.data}, mesh.fsdp={config.fsdp}, mesh.spatial={config.spatial} do not fill the '
      f'{len(devices)} devices of this run; their product must equal that number'
    )
  axes = {'data': data, 'fsdp': config.fsdp, SPATIAL: config.spatial}
  shape, names, kinds = tuple(axes.values()), tuple(axes), (AxisType.Auto,) * len(axes)
  if config.spatial == 1:
    return jax.make_mesh(shape, names, axis_types=kinds, devices=devices)
  # By process, since `make_mesh` may give the last axis a whole side of a TPU slice, across hosts.
  placed = np.array(sorted(devices, key=lambda device: (device.process_index, device.id))).reshape(shape)
  check_pictures(np.vectorize(lambda device: device.process_index)(placed))
  return Mesh(placed, names, axis_types=kinds)


def check_pictures(processes: np.ndarray) -> None:
  """Raises UserError if a picture would be divided over several processes, each of which reads examples of its own.

  Args:
    processes: int[data, fsdp, spatial], the process of every device.
  """
  if np.any(processes != processes[..., :1]):
    raise UserError(
      f'mesh.spatial={processes.shape[-1]} divides pictures over several processes; it must divide the number of '
      'devices of each'
    )


def spec(path: str, shape: tuple[int, ...], rules: Sequence[tuple[str, P]] = RULES) -> P:
  """The PartitionSpec of the array at `path`.

  Raises:
    KeyError: if no rule names it.
  """
  for pattern, partition in rules:
    if re.search(pattern, path):
      return partition
  if path.endswith('/kernel') and len(shape) in KERNEL_AXIS:
    return KERNEL_AXIS[len(shape)]
  raise KeyError(f'no sharding rule matches {path}, shape {shape}')


def tree_sharding(tree: Any, mesh: Mesh, rules: Sequence[tuple[str, P]] = RULES) -> Any:
  """Maps every array (or ShapeDtypeStruct) of `tree` to its NamedSharding.

  Raises:
    KeyError: for a path that no rule names.
    UserError: if `mesh.fsdp` does not divide an axis that it shards.
  """

  def one(key_path, leaf):
    path = trees.path_of(key_path)
    partition = spec(path, leaf.shape, rules)
    for axis, name in enumerate(partition):
      if name is not None and leaf.shape[axis] % mesh.shape[name]:
        raise UserError(f'mesh.fsdp={mesh.shape[name]} does not divide axis {axis} of {path}, shape {leaf.shape}')
    return NamedSharding(mesh, partition)

  return jax.tree.map_with_path(one, tree)


def batch_shares(mesh: Mesh) -> int:
  """How many equal shares the mesh makes of the global batch: one a device, or one a group that shares pictures."""
  return math.prod(mesh.shape.values()) // mesh.shape.get(SPATIAL, 1)


def check_batch(batch_size: int, mesh: Mesh, processes: int) -> None:
  """Raises UserError unless the global batch divides evenly over devices and processes."""
  shares = batch_shares(mesh)
  if batch_size % shares or batch_size % processes:
    who = 'devices' if shares == mesh.size else 'groups of devices that share pictures'
    raise UserError(
      f'data.batch_size={batch_size} must be a multiple of the {shares} {who}'
      + (f' and the {processes} processes' if processes > 1 else '')
      + ' of this run; set data.batch_size or use fewer devices'
    )


def replicated(mesh: Mesh) -> NamedSharding:
  """The sharding of scalars and metrics."""
  return NamedSharding(mesh, P())


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """The sharding of every batch array: the leading axis over `data` and `fsdp`."""
  return NamedSharding(mesh, BATCH)


def parts_sharding(mesh: Mesh) -> NamedSharding:
  """The sharding of a batch in parts, [parts, batch / parts, ...]: each part over all devices."""
  return NamedSharding(mesh, P(None, *BATCH))
