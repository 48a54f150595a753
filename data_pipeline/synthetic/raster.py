"""Triangles to pixels: a painter's algorithm in scan lines, vectorised over all triangles.

Each triangle is cut into horizontal spans; far ones are written first, so the nearest owns the pixel. Only then are
attributes computed, once for each covered pixel, from the owner's plane equations.
"""

import numpy as np

NOTHING = -1


def visible(points: np.ndarray, triangles: np.ndarray, side: int) -> np.ndarray:
  """Returns int32[side * side], the number of the triangle that each pixel shows, or `NOTHING`.

  Args:
    points: float64[vertices, 2], (x, y) in pixels, pixel centres at whole numbers.
    triangles: int[count, 3], farthest first; clockwise on the screen (y down), which is how faces turn to the viewer.
    side: pixels along both sides of the square picture.
  """
  x, y = points[:, 0][triangles], points[:, 1][triangles]
  # A pixel belongs to a span if begin <= centre < end, so that neighbours neither overlap nor leave gaps.
  first = np.clip(np.ceil(np.minimum(np.minimum(y[:, 0], y[:, 1]), y[:, 2])), 0, side).astype(np.int32)
  last = np.clip(np.ceil(np.maximum(np.maximum(y[:, 0], y[:, 1]), y[:, 2])), 0, side).astype(np.int32)
  rows = np.maximum(last - first, 0)
  owner = np.repeat(np.arange(len(triangles), dtype=np.int32), rows)
  line = _ramps(first, rows)
  begin, end = _span_ends(x, y, owner, line)
  begin = np.clip(np.ceil(begin), 0, side).astype(np.int32)
  widths = np.maximum(np.clip(np.ceil(end), 0, side).astype(np.int32) - begin, 0)
  owners = np.full(side * side, NOTHING, np.int32)
  # Where indices repeat, NumPy keeps the last value: the nearest triangle.
  owners[_ramps(line * np.int32(side) + begin, widths)] = np.repeat(owner, widths)
  return owners


def _ramps(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
  """Concatenates arange(start, start + length) over all pairs."""
  ends = np.cumsum(lengths, dtype=np.int32)
  total = int(ends[-1]) if len(ends) else 0
  return np.repeat(starts - (ends - lengths), lengths) + np.arange(total, dtype=np.int32)


def _span_ends(x: np.ndarray, y: np.ndarray, owner: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns where each span enters and leaves its triangle, float64[spans] each."""
  begin = np.full(len(owner), -np.inf)
  end = np.full(len(owner), np.inf)
  line = line.astype(np.float64)
  for a, b in ((0, 1), (1, 2), (2, 0)):
    rise = y[:, b] - y[:, a]
    slope = np.divide(x[:, b] - x[:, a], rise, out=np.zeros_like(rise), where=rise != 0)
    # From the lower end, so that both triangles of an edge find the same crossing bit for bit.
    upper = y[:, a] <= y[:, b]
    x0, y0 = np.where(upper, x[:, a], x[:, b]), np.where(upper, y[:, a], y[:, b])
    crossing = x0[owner] + (line - y0[owner]) * slope[owner]
    # Clockwise with y down: edges that rise on the screen bound on the left, edges that fall on the right.
    begin = np.maximum(begin, np.where((rise < 0)[owner], crossing, -np.inf))
    end = np.minimum(end, np.where((rise > 0)[owner], crossing, np.inf))
  return begin, end


def planes(points: np.ndarray, values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
  """Returns float32[count, 3, channels]: value = p[0] + x p[1] + y p[2] inside each triangle.

  Args:
    points: float64[vertices, 2] in pixels.
    values: float64[vertices, channels] at the vertices.
    triangles: int[count, 3], none without area.
  """
  p, v = points[triangles], values[triangles]
  e1, e2 = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
  d1, d2 = v[:, 1] - v[:, 0], v[:, 2] - v[:, 0]
  scale = 1 / (e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0])
  dx = (d1 * e2[:, 1, None] - d2 * e1[:, 1, None]) * scale[:, None]
  dy = (d2 * e1[:, 0, None] - d1 * e2[:, 0, None]) * scale[:, None]
  base = v[:, 0] - dx * p[:, 0, 0, None] - dy * p[:, 0, 1, None]
  return np.stack([base, dx, dy], 1).astype(np.float32)


def facing(points: np.ndarray, triangles: np.ndarray, least_area: float = 1e-3) -> np.ndarray:
  """Returns bool[count]: which triangles turn to the viewer and cover anything."""
  p = points[triangles]
  e1, e2 = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
  return e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0] > least_area
