"""Gradient accumulation: a batch in parts, one after the other, with the result of the whole batch in one piece."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Sharding

from edtalk_jax import ops
from edtalk_jax.config import Config, UserError
from edtalk_jax.stages.stage import Stage

Tree = Any


@dataclasses.dataclass(frozen=True)
class Parts:
  """How a batch is cut: part j holds the examples j, j + count, j + 2 count, ...

  Every device so gives an equal share of its own examples to every part, and nothing moves. The groups of the
  discriminator's minibatch statistics, whose samples lie M = batch / group apart, stay whole if `count` divides M.

  Attributes:
    count: of the parts; 1 leaves the batch whole.
    sharding: of arrays [count, batch / count, ...] on a mesh; None leaves it to XLA.
  """

  count: int = 1
  sharding: Sharding | None = None

  def split(self, batch: Tree) -> Tree:
    """Maps arrays [batch, ...] to [count, batch / count, ...]."""

    def one(x):
      parts = x.reshape(-1, self.count, *x.shape[1:]).swapaxes(0, 1)
      return parts if self.sharding is None else jax.lax.with_sharding_constraint(parts, self.sharding)

    return jax.tree.map(one, batch)

  def merge(self, parts: Tree) -> Tree:
    """The inverse of `split`."""
    return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), parts)


WHOLE = Parts()


def mean_gradients(
  compute: Callable[[Tree], tuple[Tree, Tree, Tree]], like: Tree, batch: Tree, parts: Parts
) -> tuple[Tree, Tree, Tree]:
  """`compute(batch)`, part by part in a loop, so that one part's activations are in memory at a time.

  Equal to the whole up to the order of float32 additions if `compute` averages over examples, or over groups of them
  that no part divides (`check`).

  Args:
    compute: batch -> (gradients, scalars that are means over examples, arrays of one row per example).
    like: arrays of the shapes and types of the gradients, e.g. the parameters.
    batch: arrays [batch, ...].
    parts: how it is cut.
  """
  if parts.count == 1:
    return compute(batch)

  def add(total, part):
    gradients, scalars, rows = compute(part)
    return jax.tree.map(jnp.add, total, gradients), (scalars, rows)

  # A loop is compiled once whatever the number of parts, and cannot keep two parts' activations at a time.
  total, (scalars, rows) = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, like), parts.split(batch))
  mean = jax.tree.map(lambda gradient: gradient / parts.count, total)
  return mean, jax.tree.map(lambda values: jnp.mean(values, 0), scalars), parts.merge(rows)


def check(config: Config, stage: Stage, shares: int) -> None:
  """Raises UserError unless `optimizer.accumulate` parts of the batch give what the whole gives.

  Args:
    config: of the run.
    stage: its stage.
    shares: of the batch on the mesh (`sharding.batch_shares`), each of which is cut into parts.
  """
  batch_size, count = config.data.batch_size, config.optimizer.accumulate
  if batch_size % (count * shares):
    raise UserError(
      f'optimizer.accumulate={count}: data.batch_size={batch_size} must be a multiple of {count * shares}, so that it '
      f'divides each of the {shares} shares that the mesh makes of the batch'
    )
  if stage.over_batch:
    raise UserError(
      f'optimizer.accumulate={count}: {stage.over_batch} takes statistics of the whole batch, which parts lack; '
      f'expected optimizer.accumulate=1 with it'
    )
  for views in stage.judged_views:
    size = ops.stddev_group_size(batch_size * views, config.model.stddev_group)
    groups = batch_size * views // size
    if groups % count:
      raise UserError(
        f'optimizer.accumulate={count} would divide the minibatch-stddev groups of {size} in a batch of {batch_size} x '
        f'{views} pictures; choose a divisor of {groups}, or a smaller model.stddev_group'
      )
