"""The train step of a configuration, traced and lowered for machines that are not at hand."""

import contextlib
import functools
import hashlib
import math
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh

from edtalk_jax import stages
from edtalk_jax.config import Config
from edtalk_jax.training import feed, programs, sharding


def arguments(config: Config, mesh: Mesh | AbstractMesh) -> tuple[Any, tuple[Any, Any, dict[str, Any]]]:
  """Returns the compiled parts of the run and (state, frozen parameters, batch) of its step, without their numbers.

  Raises:
    UserError: if the batch or the parameters do not divide over the mesh.
  """
  sharding.check_batch(config.data.batch_size, mesh, 1)
  stage = stages.build(config)
  parts = programs.build(config, stage, mesh)
  frozen = jax.eval_shape(stage.init_frozen)
  placement = sharding.tree_sharding({'frozen': frozen}, mesh)['frozen']
  frozen = jax.tree.map(lambda s, p: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=p), frozen, placement)
  whole = functools.partial(_batched, config.data.batch_size, sharding.batch_sharding(mesh))
  return parts, (parts.shapes, frozen, {name: whole(field) for name, field in feed.shapes(config, stage).items()})


def trace(config: Config, mesh: Mesh | AbstractMesh) -> tuple[Any, tuple[Any, Any, dict[str, Any]]]:
  """Traces the train step over `mesh`: a `jax.stages.Traced`, and what it was traced with, see `arguments`."""
  parts, inputs = arguments(config, mesh)
  with entered(mesh):
    return parts.train.trace(*inputs), inputs


def entered(mesh: Mesh | AbstractMesh) -> contextlib.AbstractContextManager:
  """The mesh as the one that shardings by name refer to."""
  return jax.sharding.use_abstract_mesh(mesh) if isinstance(mesh, AbstractMesh) else jax.set_mesh(mesh)


def lower(traced: Any, mesh: Mesh | AbstractMesh, platform: str) -> Any:
  """Lowers a step: a `jax.stages.Lowered`. An abstract mesh takes 'tpu' or 'cuda'; other devices are of a platform."""
  with entered(mesh):
    return traced.lower(lowering_platforms=(platform,) if isinstance(mesh, AbstractMesh) else None)


def digest(lowered: Any) -> str:
  """Names a program: the same wherever JAX and the code are the same, over described devices or an abstract mesh.

  It is the SHA-256 of the StableHLO text, which holds shapes, shardings and constants, but no line numbers.
  """
  return hashlib.sha256(lowered.as_text().encode()).hexdigest()


def example_bytes(config: Config) -> int:
  """Bytes of one example in a batch."""
  fields = feed.shapes(config, stages.build(config)).values()
  return sum(field.dtype.itemsize * math.prod(field.shape) for field in fields)


def _batched(size: int, placement: jax.sharding.Sharding, field: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct((size, *field.shape), field.dtype, sharding=placement)


def device_bytes(tree: Any) -> int:
  """Bytes that each device holds of ShapeDtypeStructs with shardings."""
  return sum(leaf.dtype.itemsize * math.prod(leaf.sharding.shard_shape(leaf.shape)) for leaf in jax.tree.leaves(tree))
