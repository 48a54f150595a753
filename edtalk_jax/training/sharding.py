"""Where every array lives: one mesh, one table of rules, first match wins."""

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from edtalk_jax.config import MeshConfig, UserError
from edtalk_jax.training import trees

# Optimiser moments repeat their parameter's path, so the same rules place them.
RULES: tuple[tuple[str, P], ...] = (
  # Outputs of a handful of channels (RGB, flow and mask, logits, bank weights) are not worth dividing.
  (r'/(rgb|flow)_\d+/(conv/)?(kernel|bias)$|/logit/', P()),
  (r'/heads/\w+/linear_\d+/(kernel|bias)$', P()),
  (r'/banks/\w+$', P()),  # QR needs a bank whole
  (r'/constant$', P()),
  (r'/(flow|semantic)/', P()),  # a million numbers each
  (r'/(bias|scale)$', P()),
  (r'^frozen/(emotion|identity)(/|$)', P()),  # the user's networks, whatever is in them
  (r'^(step|skipped|skipped_in_row)$|/count$|^regularisers/', P()),
)
# Output channels of dense (in, out) and convolution (height, width, in, out) kernels.
KERNEL_AXIS = {2: P(None, 'fsdp'), 4: P(None, None, None, 'fsdp')}

BATCH = P(('data', 'fsdp'))  # the leading axis of every batch array


def make_mesh(config: MeshConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
  """Builds the `data` x `fsdp` mesh over all devices.

  Raises:
    UserError: if the devices do not fill it.
  """
  devices = jax.devices() if devices is None else devices
  data = len(devices) // config.fsdp if config.data == -1 else config.data
  if data * config.fsdp != len(devices):
    raise UserError(
      f'mesh.data={config.data}, mesh.fsdp={config.fsdp} do not fill the {len(devices)} devices of this run; '
      'their product must equal that number'
    )
  return jax.make_mesh((data, config.fsdp), ('data', 'fsdp'), axis_types=(AxisType.Auto,) * 2, devices=devices)


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


def check_batch(batch_size: int, mesh: Mesh, processes: int) -> None:
  """Raises UserError unless the global batch divides evenly over devices and processes."""
  devices = math.prod(mesh.shape.values())
  if batch_size % devices or batch_size % processes:
    raise UserError(
      f'data.batch_size={batch_size} must be a multiple of the {devices} devices'
      + (f' and the {processes} processes' if processes > 1 else '')
      + ' of this run; set data.batch_size or use fewer devices'
    )


def replicated(mesh: Mesh) -> NamedSharding:
  """The sharding of scalars and metrics."""
  return NamedSharding(mesh, P())


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """The sharding of every batch array: the leading axis over all devices."""
  return NamedSharding(mesh, BATCH)


def parts_sharding(mesh: Mesh) -> NamedSharding:
  """The sharding of a batch in parts, [parts, batch / parts, ...]: each part over all devices."""
  return NamedSharding(mesh, P(None, *BATCH))
