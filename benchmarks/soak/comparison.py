"""What two finished runs have to agree in: everything but how long it took."""

import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp

from edtalk_jax.training import checkpoint, metrics
from edtalk_jax.training.shelf import Shelf


def differences(one: pathlib.Path, other: pathlib.Path) -> list[str]:
  """In what two finished runs differ; nothing, if all is well."""
  found = []
  lines = [_untimed(workdir) for workdir in (one, other)]
  if lines[0] != lines[1]:
    steps = [[line.get('step') if line else None for line in of] for of in lines]
    found.append(f'metrics.jsonl: {len(lines[0])} and {len(lines[1])} lines, steps equal: {steps[0] == steps[1]}')
  last = [Shelf(workdir).steps()[-1] for workdir in (one, other)]
  if last[0] != last[1]:
    return [*found, f'last checkpoints: {last[0]} and {last[1]}']
  folders = [Shelf(workdir).path(last[0]) for workdir in (one, other)]
  parts = [[part for part in checkpoint.PARTS if (folder / part).is_dir()] for folder in folders]
  if parts[0] != parts[1]:
    return [*found, f'parts of the last checkpoints: {parts[0]} and {parts[1]}']
  for part in parts[0]:
    arrays = [_arrays(folder / part) for folder in folders]
    found += [f'{part}/{name}' for name in arrays[0] if not np.array_equal(arrays[0][name], arrays[1].get(name))]
  pictures = [{path.name: path.read_bytes() for path in (workdir / 'samples').glob('*')} for workdir in (one, other)]
  if pictures[0] != pictures[1]:
    found.append(f'samples: {sorted(pictures[0])} and {sorted(pictures[1])}')
  return found


def _untimed(workdir: pathlib.Path) -> list[dict | None]:
  lines = metrics.read_lines(workdir / metrics.FILE)
  return [line and metrics.untimed(line) for line in lines]


def _arrays(part: pathlib.Path) -> dict[str, np.ndarray]:
  with ocp.PyTreeCheckpointer() as reader:
    tree = reader.metadata(part).item_metadata.tree
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
    found = reader.restore(part, args=ocp.args.PyTreeRestore(restore_args=as_numpy))
  leaves, _ = jax.tree.flatten_with_path(found)
  return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
