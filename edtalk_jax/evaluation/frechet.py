"""The Fréchet distance between two sets of features, as FID takes it (Heusel et al., 2017)."""

import numpy as np


def distance(a: np.ndarray, b: np.ndarray) -> float:
  """Fréchet distance of the normal distributions that fit float[n, features] and float[m, features].

      |mean_a - mean_b|^2 + trace(A + B - 2 (A B)^(1/2))

  with the sample covariances A and B (n - 1 below). The trace of the root is the sum of the singular values of
  X_a X_b^T, where A = X_a^T X_a: no root of a matrix has to be taken, which fails where there are fewer samples than
  features.

  Raises:
    ValueError: if either set has fewer than two samples, or they differ in their features.
  """
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
    raise ValueError(f'expected two sets of two samples or more of equal features, got {a.shape} and {b.shape}')
  roots = [_root(x) for x in (a, b)]
  shift = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
  spread = sum(np.square(root).sum() for root in roots)
  overlap = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
  return max(0.0, float(shift + spread - 2 * overlap))


def _root(x: np.ndarray) -> np.ndarray:
  """Returns float64[at most features, features] whose square is the covariance of x."""
  x = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
  return np.linalg.qr(x, mode='r') if len(x) > x.shape[1] else x
