"""Vectors, rotations and the normals of grids of points; x right, y down, z to the viewer."""

import numpy as np

from data_pipeline.synthetic import exact


def unit(vectors: np.ndarray) -> np.ndarray:
  """Returns float64[..., 3] at length 1."""
  x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
  return vectors / np.sqrt(x * x + y * y + z * z + 1e-12)[..., None]


def grid_normals(points: np.ndarray, seams: tuple[int, ...] = ()) -> np.ndarray:
  """Returns float64[rows, columns, 3], unit normals of a grid whose rows run down and columns right.

  Args:
    points: float64[rows, columns, 3].
    seams: rows that end a sheet: the next row lies in the same place, or beyond a hole.
  """
  rows, columns = points.shape[:2]
  above, below = np.maximum(np.arange(rows) - 1, 0), np.minimum(np.arange(rows) + 1, rows - 1)
  for row in seams:
    below[row], above[row + 1] = row, row + 1
  left, right = np.maximum(np.arange(columns) - 1, 0), np.minimum(np.arange(columns) + 1, columns - 1)
  a, b = points[:, right] - points[:, left], points[below] - points[above]
  x = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
  y = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
  z = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
  normals = unit(np.stack([x, y, z], -1))
  for row in seams:
    # Where the sheets meet they are one surface, which must not show a crease.
    gap = points[row + 1] - points[row]
    closed = np.abs(gap[:, 1]) + np.abs(gap[:, 2]) < 1e-9
    joined = unit(normals[row] + normals[row + 1])
    normals[row, closed], normals[row + 1, closed] = joined[closed], joined[closed]
  return normals


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
  """Returns float64[3, 3]: yaw, then pitch, then roll, in degrees as in `factors.NAMES`."""
  (a, b, c), (d, e, f) = (fn(np.array([yaw, -pitch, roll]) * (exact.PI / 180)) for fn in (exact.sin, exact.cos))
  # Rz(roll) Rx(pitch) Ry(yaw), written out: a matrix product's order of sums is not fixed.
  row0 = (f * d - c * b * a, -c * e, f * a + c * b * d)
  row1 = (c * d + f * b * a, f * e, c * a - f * b * d)
  return np.array([row0, row1, (-e * a, b, e * d)])


def rotate(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
  """Returns float64[count, 3]: every point times the matrix."""
  x, y, z = points[:, 0], points[:, 1], points[:, 2]
  return np.stack([row[0] * x + row[1] * y + row[2] * z for row in matrix], -1)
