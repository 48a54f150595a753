"""The orthonormal basis of a motion bank."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

# The official code factorises weight + 1e-8.
_OFFSET = 1e-8


def orthonormal_basis(w: jax.Array) -> jax.Array:
  """The factor Q of the reduced QR of `w`, made unique by a positive diagonal of R.

  EDTalk Sec. 3.2 (official code, networks/generator.py, takes Q as LAPACK returns it). There, column j of Q flips its
  sign when the Householder pivot of column j crosses zero in training; a positive diagonal is continuous. Weights
  trained with the official convention are converted once, by `w * householder_signs(w)`. Column j of Q depends on the
  columns 0..j of `w` alone, so frozen leading columns stay where they are.

  Computed by Gram-Schmidt, each column projected twice, which is orthonormal to rounding (Giraud et al., 2005). A bank
  has few columns, and unlike LAPACK's Householder QR, whose threads wait for one another on a busy CPU, this is XLA's
  own code on every backend; its R has a positive diagonal by construction.

  Args:
    w: [dim, n] with dim >= n, of full rank.

  Returns:
    float32[dim, n] with orthonormal columns.

  Raises:
    ValueError: if there are more columns than rows.
  """
  if w.ndim != 2 or w.shape[0] < w.shape[1]:
    raise ValueError(f'w must have shape [dim, n] with dim >= n, got {w.shape}')
  return _gram_schmidt(jnp.asarray(w, jnp.float32) + _OFFSET)


@jax.custom_vjp
def _gram_schmidt(w):
  def add_column(q, j):
    column = w[:, j]
    for _ in range(2):
      # The columns from j on are still zero.
      column -= _product(q, _product(q.T, column))
    return q.at[:, j].set(column * jax.lax.rsqrt(jnp.sum(jnp.square(column)))), None

  return jax.lax.scan(add_column, jnp.zeros_like(w), jnp.arange(w.shape[1]))[0]


def _forward(w):
  q = _gram_schmidt(w)
  return q, (w, q)


def _backward(residuals, cotangent):
  """(G + Q S) R^-T, G the gradient of Q, S symmetric with the lower triangle of -G^T Q (Roberts & Roberts, 2020).

  In closed form, since in a loop every small operation waits for the one before.
  """
  w, q = residuals
  r = jnp.triu(_product(q.T, w))
  lower = jnp.tril(-_product(cotangent.T, q))
  symmetric = lower + jnp.tril(lower, -1).T
  right = cotangent + _product(q, symmetric)
  return (jax.scipy.linalg.solve_triangular(r, right.T).T,)


_gram_schmidt.defvjp(_forward, _backward)


_product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def householder_signs(w: np.ndarray) -> np.ndarray:
  """float32[n] of +-1: the signs of R's diagonal in LAPACK's QR of `w`[dim, n], the official convention.

  `orthonormal_basis(w * householder_signs(w))` equals the official Q of `w`.
  """
  r = np.linalg.qr(np.asarray(w, np.float32) + np.float32(_OFFSET), mode='r')
  return np.where(np.diagonal(r) < 0, -1, 1).astype(np.float32)
