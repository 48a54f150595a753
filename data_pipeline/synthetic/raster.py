"""Triangles to pixels: a painter's algorithm in scan lines, vectorised over all triangles.

Each triangle is cut into horizontal spans; far ones are written first, so the nearest owns the pixel. Only then are
attributes computed, once for each covered pixel, from the owner's plane equations.
"""

import numpy as np

NOTHING = -1


def visible(x: np.ndarray, y: np.ndarray, triangles: np.ndarray, side: int) -> np.ndarray:
  """Returns int32[side * side], the number of the triangle that each pixel shows, or `NOTHING`.

  Args:
    x, y: float64[vertices], in pixels, y down, pixel centres at whole numbers.
    triangles: int[3, count], the three corners of each, farthest triangle first.
    side: pixels along both sides of the square picture.
  """
  first, last, long_edge, short_edge = _halves(x[triangles], y[triangles], side)
  rows = np.maximum(last - first, 0)
  half = np.repeat(np.arange(len(rows), dtype=np.int32), rows)
  line = _ramps(first, rows)
  height = line.astype(np.float64)
  a, b = (edge[0][half] + height * edge[1][half] for edge in (long_edge, short_edge))
  # A pixel belongs to a span if begin <= centre < end, so that neighbours neither overlap nor leave gaps.
  begin = np.clip(np.ceil(np.minimum(a, b)), 0, side).astype(np.int32)
  widths = np.clip(np.ceil(np.maximum(a, b)), 0, side).astype(np.int32) - begin
  owners = np.full(side * side, NOTHING, np.int32)
  # Where indices repeat, NumPy keeps the last value: the nearest triangle.
  owners[_ramps(line * np.int32(side) + begin, widths)] = np.repeat(half >> 1, widths)
  return owners


def _halves(x: np.ndarray, y: np.ndarray, side: int):
  """Cuts triangles at their middle corner into an upper and a lower half.

  Returns:
    The first line of each half and the one after its last, int32[2 count]; then the edge that both halves share and
    the other one, each as offset and slope of x over y, float64[2 count].
  """
  (x0, x1, x2), (y0, y1, y2) = x, y
  for _ in range(2):  # sorts the corners by height
    x0, x1, y0, y1 = _ordered(x0, x1, y0, y1)
    x1, x2, y1, y2 = _ordered(x1, x2, y1, y2)
  top, middle, bottom = (np.clip(np.ceil(v), 0, side).astype(np.int32) for v in (y0, y1, y2))
  long_edge = _edge(x0, y0, x2, y2)
  upper, lower = _edge(x0, y0, x1, y1), _edge(x1, y1, x2, y2)
  return (
    _both(top, middle),
    _both(middle, bottom),
    [_both(v, v) for v in long_edge],
    [_both(a, b) for a, b in zip(upper, lower, strict=True)],
  )


def _ordered(xa, xb, ya, yb):
  swap = ya > yb
  return np.where(swap, xb, xa), np.where(swap, xa, xb), np.where(swap, yb, ya), np.where(swap, ya, yb)


def _edge(xa, ya, xb, yb) -> tuple[np.ndarray, np.ndarray]:
  rise = yb - ya
  slope = np.divide(xb - xa, rise, out=np.zeros_like(rise), where=rise > 0)
  return xa - ya * slope, slope


def _both(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
  """Interleaves values of upper and lower halves, so that halves stay in the triangles' order."""
  return np.stack([upper, lower], -1).reshape(-1)


def _ramps(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
  """Concatenates arange(start, start + length) over all pairs."""
  ends = np.cumsum(lengths, dtype=np.int32)
  total = int(ends[-1]) if len(ends) else 0
  return np.repeat(starts - (ends - lengths), lengths) + np.arange(total, dtype=np.int32)


def planes(x: np.ndarray, y: np.ndarray, values: np.ndarray, triangles: np.ndarray) -> list[np.ndarray]:
  """Returns, for each channel, float32[3, count]: value = p[0] + x p[1] + y p[2] inside a triangle.

  Args:
    x, y: float64[vertices], in pixels.
    values: float64[channels, vertices].
    triangles: int[3, count], none without area.
  """
  a, b, c = triangles
  xa, ya = x[a], y[a]
  x1, y1, x2, y2 = x[b] - xa, y[b] - ya, x[c] - xa, y[c] - ya
  scale = 1 / (x1 * y2 - y1 * x2)
  x1, y1, x2, y2 = x1 * scale, y1 * scale, x2 * scale, y2 * scale
  result = []
  for value in values:
    start = value[a]
    d1, d2 = value[b] - start, value[c] - start
    dx, dy = d1 * y2 - d2 * y1, d2 * x1 - d1 * x2
    result.append(np.stack([start - dx * xa - dy * ya, dx, dy]).astype(np.float32))
  return result


def facing(x: np.ndarray, y: np.ndarray, triangles: np.ndarray, least_area: float = 2e-3) -> np.ndarray:
  """Returns bool[count]: which triangles are clockwise on the screen (y down) and cover anything."""
  a, b, c = triangles
  xa, ya = x[a], y[a]
  return (x[b] - xa) * (y[c] - ya) - (y[b] - ya) * (x[c] - xa) > least_area
