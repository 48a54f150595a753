"""The 68 landmarks (iBUG order) as places on the head's grid, which give exact points in every picture."""

import numpy as np

from data_pipeline.synthetic import exact
from data_pipeline.synthetic.head import (
  ANGLES,
  BROW_ARCH,
  BROW_Y,
  EYE_HALF,
  EYE_X,
  HEIGHTS,
  JAW_Y,
  LOWER_LID,
  LOWER_LIP,
  MOUTH_X,
  MOUTH_Y,
  UPPER_LID,
  UPPER_LIP,
  Head,
)
from data_pipeline.synthetic.identity import Identity

_REACH = 40.0  # degrees by which a point of the outline may wander towards the nose when the head turns
_CHOICES = 21
# Left half of the outline, ear to chin: height of the row, degrees around the head.
_OUTLINE = (
  (-0.9, 80.0),
  (1.4, 80.0),
  (3.8, 80.0),
  (6.9, 80.0),
  (10.1, 79.0),
  (JAW_Y, 60.0),
  (JAW_Y, 41.0),
  (JAW_Y, 20.0),
  (JAW_Y, 0.0),
)
_NOSE = (
  (0.0, -0.05),
  (0.0, 1.25),
  (0.0, 2.55),
  (0.0, 3.75),
  (-1.25, 4.5),
  (-0.65, 4.75),
  (0.0, 4.88),
  (0.65, 4.75),
  (1.25, 4.5),
)
_OUTER, _INNER = EYE_X + EYE_HALF - 0.25, EYE_X - EYE_HALF + 0.15  # corners of an eye


class Landmarks:
  """Finds the landmarks of one head.

  Args:
    person, head: whose.
  """

  def __init__(self, person: Identity, head: Head):
    points = [*_brow(person, -1), *_brow(person, 1)[::-1], *_NOSE]
    places = [_place(head, x, y) for x, y in points]
    places += _eye(head, -1) + _eye(head, 1)
    places += _mouth(person, head)
    self._inner = np.array(places)
    outline = [*_OUTLINE, *_OUTLINE[-2::-1]]
    # For each point of the outline the columns that it may lie on, all of one length.
    self._columns = np.stack([_outline_columns(degrees, -1 if k < 8 else 1) for k, (_, degrees) in enumerate(outline)])
    self._rows = np.broadcast_to(np.array([[_row(height)] for height, _ in outline]), self._columns.shape)

  def find(self, projected: np.ndarray) -> np.ndarray:
    """Returns float64[68, 2] for the projected grid, float64[rows, columns, 2]."""
    row, column = self._inner[:, 0], self._inner[:, 1]
    return np.concatenate([self._outline(projected), _sample(projected, row, column)])

  def _outline(self, projected: np.ndarray) -> np.ndarray:
    """The jaw as it is seen: where the near cheek hides the mark on the skin, the cheek's edge takes its place."""
    points = _sample(projected, self._rows.reshape(-1), self._columns.reshape(-1)).reshape(*self._rows.shape, 2)
    side = np.sign(np.arange(17) - 8)[:, None]
    return points[np.arange(17), np.argmax(side * points[..., 0], axis=1)]


def _sample(grid: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
  i = np.minimum(row.astype(int), grid.shape[0] - 2)
  j = np.minimum(column.astype(int), grid.shape[1] - 2)
  fr, fc = (row - i)[:, None], (column - j)[:, None]
  top = grid[i, j] * (1 - fc) + grid[i, j + 1] * fc
  return top * (1 - fr) + (grid[i + 1, j] * (1 - fc) + grid[i + 1, j + 1] * fc) * fr


def _outline_columns(degrees: float, side: int) -> np.ndarray:
  angles = side * (degrees - np.arange(_CHOICES) * (min(degrees, _REACH) / (_CHOICES - 1)))
  return exact.interpolate(angles * (exact.PI / 180), ANGLES, np.arange(len(ANGLES)))


def _row(height: float) -> float:
  """Row of a height, as a fraction; never between two lips or lids."""
  k = int(np.clip(np.searchsorted(HEIGHTS, height, side='right') - 1, 0, len(HEIGHTS) - 2))
  span = HEIGHTS[k + 1] - HEIGHTS[k]
  return k + float((height - HEIGHTS[k]) / span if span else 0.0)


def _place(head: Head, x: float, y: float, row: int | None = None) -> tuple[float, float]:
  """Returns the fractional (row, column) of a point of the average face; `row` chooses one of two equal rows."""
  middle = head.flat.shape[1] // 2
  column = float(middle)
  r = _row(y)
  for _ in range(4):  # rows rise to the sides, so column and row depend on each other a little
    across = head.flat[round(r)]
    column = float(exact.interpolate(x, across[8:-8, 0], np.arange(8, len(across) - 8)))
    rise = across[round(column), 1] - across[middle, 1]
    r = _row(y - float(rise))
  return (r if row is None else float(row)), column


def _brow(person: Identity, side: int) -> list[tuple[float, float]]:
  """Five points of the upper edge, outer end first."""
  arch = BROW_ARCH + 0.15 * person.shape['brow_arch']
  points = []
  for along in (0.97, 0.76, 0.51, 0.26, 0.02):
    t = along - 0.62
    points.append((side * (1.25 + 4.0 * along), BROW_Y - arch * (1 - t * t / 0.36) - 0.15))
  return points


def _eye(head: Head, side: int) -> list[tuple[float, float]]:
  """Six points; the picture's left eye begins at its outer corner, the right one at its inner corner."""
  first, last = (-_OUTER, -_INNER) if side < 0 else (_INNER, _OUTER)
  a, b = first + (last - first) * 0.32, first + (last - first) * 0.68
  upper, lower = ([_place(head, x, 0.0, row) for x in (a, b)] for row in (UPPER_LID, LOWER_LID))
  return [_place(head, first, 0.0, UPPER_LID), *upper, _place(head, last, 0.0, UPPER_LID), *lower[::-1]]


def _mouth(person: Identity, head: Head) -> list[tuple[float, float]]:
  full = 1 + 0.2 * person.shape['lip_fullness']
  upper = [(x, MOUTH_Y - full * h) for x, h in ((-1.5, 0.66), (-0.55, 0.9), (0.0, 0.78), (0.55, 0.9), (1.5, 0.66))]
  lower = [(x, MOUTH_Y + full * h) for x, h in ((1.6, 0.82), (0.75, 1.05), (0.0, 1.1), (-0.75, 1.05), (-1.6, 0.82))]
  corner = [_place(head, side * MOUTH_X, MOUTH_Y, UPPER_LIP) for side in (-1, 1)]
  outer = [corner[0], *(_place(head, *p) for p in upper), corner[1], *(_place(head, *p) for p in lower)]
  top = [_place(head, x, MOUTH_Y, UPPER_LIP) for x in (-2.15, -0.8, 0.0, 0.8, 2.15)]
  bottom = [_place(head, x, MOUTH_Y, LOWER_LIP) for x in (0.8, 0.0, -0.8)]
  return [*outer, *top, *bottom]
