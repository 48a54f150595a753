"""How much of one motion space others can tell, over all drivers of a run instead of a batch. (Ours.)

In stage expression the encoder and all heads but one are frozen, and heads are affine maps of the code. So how weights
vary together follows from how codes do, which is gathered from batch to batch: a batch of 16 says little of 26
weights, and the noise of its correlations would drown what there is to learn.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

Array = jax.Array
Motion = Callable[[Array], dict[str, Array]]
NAME = 'population'  # of its arrays among the parameters; training alone needs them
# Heads are affine and tell a trace of everything, which moves no picture. So what the others tell counts by its
# variance: a direction of their weights that has this share of their mean variance counts half.
QUIET = 0.3
# The same of the weights that are told. Without it the term would not see how small they are, and its gradient would be
# enormous where the head still rests.
FAINT = 0.01
LONGEST = 2**20  # codes after which older ones fade; float32 counts them exactly


def init(size: int) -> dict[str, Array]:
  """Returns the population of nobody yet: count [], mean [size] and covariance [size, size], float32."""
  return {'count': jnp.zeros(()), 'mean': jnp.zeros(size), 'covariance': jnp.zeros((size, size))}


def gather(population: dict[str, Array], codes: Array) -> dict[str, Array]:
  """Returns the population with codes[n, size] in it (Chan, Golub & LeVeque, 1983, pairwise update)."""
  codes = jax.lax.stop_gradient(codes.astype(jnp.float32))
  mean = jnp.mean(codes, axis=0)
  shift, rest = mean - population['mean'], codes - mean[None]
  count = jnp.minimum(population['count'], LONGEST - len(codes))
  share = len(codes) / (count + len(codes))  # of the new codes
  return {
    'count': count + len(codes),
    'mean': population['mean'] + share * shift,
    'covariance': (1 - share) * population['covariance']
    + share * _product(rest.T, rest) / len(codes)
    + share * (1 - share) * jnp.outer(shift, shift),
  }


def explained(population: dict[str, Array], motion: Motion, space: str, others: Sequence[str]) -> Array:
  """Mean share of the variance of `space`'s weights that ridge regression on the weights of `others` explains.

  With S the covariance of the others' n weights, s its mean diagonal, and c, v covariance with them and variance of one
  weight of this space, the mean over these weights of

      c^T (S + (QUIET + n / (count + 1)) s I)^-1 c / (v + FAINT s)

  It is zero if and only if no weight of the others goes with any of this space, and near 1 if they tell it all with
  large variance. The second part of the ridge is for small populations, in which anything goes with anything. No
  gradient goes to the others.

  Args:
    population: of drivers' codes.
    motion: codes[n, size] -> weights by space, affine.
    space: whose weights should not be told.
    others: spaces that should not tell them.

  Returns:
    float32[] in [0, 1].
  """
  slopes, covariance = _slopes(population, motion), population['covariance']
  told = slopes[space]
  telling = jax.lax.stop_gradient(jnp.concatenate([slopes[name] for name in others], axis=1))
  cross = _product(telling.T, _product(covariance, told))
  own = _product(telling.T, _product(covariance, telling))
  pseudo = len(own) / (population['count'] + 1)
  mean = jnp.mean(jnp.diag(own)) + 1e-12
  own += (QUIET + pseudo) * mean * jnp.eye(len(own))
  variance = jnp.sum(told * _product(covariance, told), axis=0)
  return jnp.mean(jnp.sum(cross * jnp.linalg.solve(own, cross), axis=0) / (variance + FAINT * mean))


def _slopes(population: dict[str, Array], motion: Motion) -> dict[str, Array]:
  """Space -> float32[size, weights], the linear part of its head."""
  size = len(population['mean'])
  origin, units = motion(jnp.zeros((1, size))), motion(jnp.eye(size))
  return {name: units[name] - origin[name] for name in units}


def _product(a: Array, b: Array) -> Array:
  return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
