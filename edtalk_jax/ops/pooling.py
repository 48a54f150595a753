"""Max-pooling for the VGG19 of the perceptual loss."""

import functools
import itertools

import jax
import jax.numpy as jnp

from edtalk_jax.ops import pairs


@jax.custom_vjp
def max_pool(x: jax.Array) -> jax.Array:
  """Largest value of each 2 x 2 block; an odd last row or column is dropped.

  Among equal values the gradient goes to the first in row-major order, as in PyTorch. Selecting between strided views
  says just that, and spares the select-and-scatter that XLA emits for the gradient of `reduce_window`.

  Args:
    x: [batch, height, width, channels].

  Returns:
    [batch, height // 2, width // 2, channels].
  """
  return functools.reduce(jnp.maximum, _quarters(x))


def _paired(x):
  # Halves of pairs, which the convolution before computes: nothing moves between the two (`ops.pairs`).
  return pairs.narrow(x.shape[3]) and x.shape[2] % 2 == 0


def _quarters(x):
  """The four pixels of each block, row-major, as [batch, height // 2, width // 2, channels] each."""
  height, width = x.shape[1:3]
  if _paired(x):
    rows = (pairs.pair_columns(x)[:, first:height // 2 * 2:2] for first in (0, 1))
    return [half for row in rows for half in jnp.split(row, 2, axis=-1)]
  return [x[:, i:height // 2 * 2:2, j:width // 2 * 2:2] for i, j in itertools.product((0, 1), repeat=2)]


def _backward(residuals, cotangent):
  x, largest = residuals
  parts, free = [], jnp.ones(largest.shape, bool)
  for quarter in _quarters(x):
    first = free & (quarter == largest)
    free &= ~first
    parts.append(jnp.where(first, cotangent, 0))
  if _paired(x):
    parts = [jnp.concatenate(parts[i:i + 2], -1) for i in (0, 2)]
    spread = (_spread(part, i, 0, (x.shape[1], part.shape[2])) for i, part in enumerate(parts))
    return (pairs.split_columns(functools.reduce(jnp.add, spread)),)
  return (functools.reduce(jnp.add, (_spread(part, *divmod(i, 2), x.shape[1:3]) for i, part in enumerate(parts))),)


def _spread(part, row, column, size):
  """`part` at every second row (and column, unless all are there), from these on, among zeros."""
  holes = [(0, 0, 0)]
  for first, count, length in zip((row, column), part.shape[1:3], size, strict=True):
    step = 1 if count == length else 2
    holes.append((first, length - first - step * (count - 1) - 1, step - 1))
  return jax.lax.pad(part, jnp.zeros((), part.dtype), (*holes, (0, 0, 0)))


max_pool.defvjp(lambda x: (y := max_pool(x), (x, y)), _backward)
