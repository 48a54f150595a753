"""Two train steps on several meshes in double precision, compared with those on one device.

  python -m tests.training.mesh_case

Prints a JSON object; see `main`. A process of its own, because every float32 of the library is replaced by float64
before the library is imported.
"""
# ruff: noqa: E402

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update('jax_default_matmul_precision', 'highest')
jax.config.update('jax_enable_x64', True)
jnp.float32 = jnp.float64

from edtalk_jax import stages
from edtalk_jax.config import Config, MeshConfig, OptimizerConfig
from edtalk_jax.ops import backend
from edtalk_jax.training import feed, optimizers, programs, sharding, trees
from edtalk_jax.training import state as state_lib
from tests import tiny

backend.set_target('cpu')
MESHES = {
  '8x1x1': MeshConfig(data=8),
  '2x4x1': MeshConfig(data=2, fsdp=4),
  '2x2x2': MeshConfig(data=2, fsdp=2, spatial=2),  # maps of 16 rows are divided, smaller ones are not
}


def settings() -> Config:
  """Stage mouth_pose with all that takes statistics over the batch, and Adam made linear in the gradient."""
  config = tiny.config('mouth_pose', flow_init=0.05)
  # An epsilon far above all gradients makes the update learning_rate / epsilon = 0.01 times the gradient. Moments are
  # means of the gradients and of their squares.
  linear = OptimizerConfig(learning_rate=1e4, epsilon=1e6, beta1=0.5, ema=100.0)
  object.__setattr__(config.model, 'dtype', 'float64')  # not a choice that users have
  return dataclasses.replace(config, optimizer=linear, loss=dataclasses.replace(config.loss, correlation=1.0))


def double(tree):
  return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def steps(config: Config, params: dict, frozen: dict, mesh_config: MeshConfig, count: int = 2):
  """({path: array} of the state after some steps and the metrics of the last, paths of arrays in other places)."""
  mesh = sharding.make_mesh(mesh_config, jax.devices()[: 1 if mesh_config == MeshConfig() else None])
  stage = stages.build(config)
  parts = programs.build(config, stage, mesh)
  with jax.set_mesh(mesh):
    state = state_lib.create(params, stage.trainable, **optimizers.both(config), ema=True)
    state = jax.device_put(state, jax.tree.map(lambda shape: shape.sharding, parts.shapes))
    placed = parts.place_frozen(frozen)
    for seed in range(count):
      batch = feed.to_device(tiny.batch(config, seed=seed), sharding.batch_sharding(mesh))
      state, metrics = parts.train(state, placed, batch)
  places = zip(jax.tree.leaves_with_path(state), jax.tree.leaves(parts.shapes), strict=True)
  moved = [trees.path_of(path) for (path, leaf), shape in places if leaf.sharding != shape.sharding]
  return {trees.path_of(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path((state, metrics))}, moved


def main() -> None:
  """Prints how far every array of every mesh is from that of one device.

  'largest': path -> largest absolute number on one device; 'types': of all arrays; 'errors': mesh -> path -> largest
  absolute difference; 'moved': mesh -> paths of arrays of the state that the steps have put elsewhere.
  """
  config = settings()
  stage = stages.build(config)
  params, frozen = double(jax.jit(stage.init)(jax.random.key(0))), double(stage.init_frozen())
  one, _ = steps(config, params, frozen, MeshConfig())
  found = {'errors': {}, 'moved': {}}
  for name, mesh in MESHES.items():
    arrays, found['moved'][name] = steps(config, params, frozen, mesh)
    found['errors'][name] = {path: float(np.max(np.abs(arrays[path] - array))) for path, array in one.items()}
  found['largest'] = {path: float(np.max(np.abs(array))) for path, array in one.items()}
  found['types'] = sorted({str(array.dtype) for array in one.values()})
  json.dump(found, sys.stdout)


if __name__ == '__main__':
  main()
