"""The head: one grid of points, its resting shape for a person, and the shapes that move it.

Centimetres; x to the picture's right, y down, z to the viewer; the origin is inside the skull at the height of the
eyes. Proportions follow common anthropometric means (eyes 6.3 cm apart, chin 11.4 cm below them, mouth 5.1 cm wide).
Rows run from the crown to below the jaw, columns around the head. The rows between the lids and between the lips exist
twice; where the two part, a hole opens, through which eyeballs, teeth and tongue are seen.
"""

import dataclasses

import numpy as np

from data_pipeline.synthetic import exact
from data_pipeline.synthetic.exact import bump, interpolate, smoothstep
from data_pipeline.synthetic.identity import Identity

EYE_Y, MOUTH_Y, JAW_Y = 0.0, 6.8, 11.4
EYE_X, MOUTH_X = 3.12, 2.55  # centre of an eye, half width of the mouth, at rest in the average face
EYE_HALF = 1.4  # half width of an open eye
BROW_Y, BROW_ARCH = -1.85, 0.55  # ends of the brows, and how far their highest point lies above
_ABOVE = (
  -11.6, -11.4, -11.0, -10.3, -9.4, -8.3, -7.1, -6.0, -5.0, -4.2, -3.6, -3.2, -2.85, -2.5, -2.15, -1.8, -1.5, -1.2,
  -0.9, -0.6, -0.3,
)  # fmt: skip
_MIDDLE = (
  0.25, 0.5, 0.8, 1.1, 1.5, 1.9, 2.3, 2.7, 3.05, 3.35, 3.65, 3.95, 4.2, 4.4, 4.55, 4.7, 4.95, 5.25, 5.5, 5.72, 5.92,
  6.12, 6.32, 6.56,
)  # fmt: skip
_BELOW = (7.0, 7.2, 7.4, 7.62, 7.85, 8.15, 8.5, 9.0, 9.5, 10.0, 10.5, 11.0, JAW_Y)
_UNDER = (0.2, 0.5, 0.85)  # rows from the jaw's edge towards the neck, as shares of the way
HEIGHTS = np.array([*_ABOVE, EYE_Y, EYE_Y, *_MIDDLE, MOUTH_Y, MOUTH_Y, *_BELOW, *(JAW_Y + q for q in _UNDER)])
UPPER_LID = len(_ABOVE)
LOWER_LID = UPPER_LID + 1
UPPER_LIP = LOWER_LID + len(_MIDDLE) + 1
LOWER_LIP = UPPER_LIP + 1
JAW = LOWER_LIP + len(_BELOW)
_FRONT = np.arange(17) * (46.0 / 16)
_HALF = np.concatenate([_FRONT, [49.5, 53.5, 58, 63, 69, 76, 84, 93, 104, 117, 132, 150]])
ANGLES = np.concatenate([-_HALF[:0:-1], _HALF]) * (exact.PI / 180)  # around the vertical axis, 0 to the viewer
GRID = (len(HEIGHTS), len(ANGLES))

# Outline of the skull at the heights below: half width, depth to the front, depth to the back, how far the sides of
# the row lie above its middle, and how round that rise is.
_KNOTS = (-11.6, -11.4, -11.0, -10.0, -8.8, -7.0, -4.5, -2.3, 0.0, 2.0, 4.6, 6.8, 8.8, 10.4, 11.4)
_WIDTH = (0.0, 2.0, 3.5, 5.3, 6.4, 7.2, 7.6, 7.6, 7.3, 7.05, 6.75, 6.45, 6.2, 5.95, 5.7)
_DEPTH = (0.0, 2.9, 4.7, 6.9, 8.3, 9.3, 9.7, 9.6, 9.0, 8.8, 8.9, 8.9, 8.5, 8.45, 7.9)
_BACK = (0.0, 3.0, 4.9, 7.2, 8.8, 9.7, 10.0, 9.8, 9.2, 8.7, 8.1, 7.6, 7.2, 7.0, 6.8)
_RISE = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 1.2, 2.3, 3.3, 4.3, 4.9)
_ROUND = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.3, 0.6, 0.85, 0.95)


@dataclasses.dataclass(frozen=True)
class Head:
  """A person's head.

  Attributes:
    rest: float64[rows, columns, 3], lids and lips closed, no expression.
    flat: float64[rows, columns, 2], where each point lies in the average face seen from the front; all features are
      placed and painted in these coordinates.
    moves: name -> float64[rows, columns, 3], displacement for a value of 1.
    eyes: float64[2, 3], middle of the lid line of the eye on the picture's left, then right.
    scale: width and height of this face relative to the average one.
  """

  rest: np.ndarray
  flat: np.ndarray
  moves: dict[str, np.ndarray]
  eyes: np.ndarray
  scale: tuple[float, float]


def skull(height, angle) -> np.ndarray:
  """Returns float64[..., 3], the average skull without features, at a row's height and an angle around the head."""
  height, angle = np.broadcast_arrays(np.asarray(height, np.float64), np.asarray(angle, np.float64))
  s, c = exact.sin(angle), exact.cos(angle)
  width, depth, back, rise, roundness = (
    interpolate(height, _KNOTS, values) for values in (_WIDTH, _DEPTH, _BACK, _RISE, _ROUND)
  )
  turn = 1 - np.maximum(c, 0.0)
  y = height - rise * (roundness * turn + (1 - roundness) * turn * turn)
  return np.stack([width * s, y, np.where(c > 0, depth, back) * c], -1)


def build(person: Identity) -> Head:
  """Returns the head of a person."""
  surface = skull(HEIGHTS[:, None], ANGLES[None])
  neck = np.stack([5.2 * exact.sin(ANGLES), np.full(len(ANGLES), 10.2), 4.6 * exact.cos(ANGLES) - 2.2], -1)
  for row, share in zip(range(JAW + 1, GRID[0]), _UNDER, strict=True):
    surface[row] = surface[JAW] + share * (neck - surface[JAW])
    surface[row, :, 1] += 0.9 * share * (1 - share)
  flat = surface[..., :2].copy()
  flat[JAW + 1 :, :, 1] = np.maximum(flat[JAW + 1 :, :, 1], flat[JAW, :, 1] + np.array(_UNDER)[:, None])
  x, y = flat[..., 0], flat[..., 1]
  front = smoothstep((exact.cos(ANGLES) + 0.1) / 0.5)[None]
  rest = surface.copy()
  rest[..., 2] += front * _relief(x, y, person)
  rest += front[..., None] * _proportions(x, y, person)
  shape = person.shape
  wide, tall = 1 + 0.04 * shape['face_width'], 1 + 0.035 * shape['face_length']
  rest[..., 0] *= wide
  rest[..., 1] *= tall
  moves = {name: front[..., None] * move for name, move in _moves(x, y).items()}
  column = [int(np.argmin(np.abs(x[UPPER_LID] - side * EYE_X))) for side in (-1, 1)]
  return Head(rest, flat, moves, rest[UPPER_LID, column], (wide, tall))


def _both(x, y, cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
  """The same hill on both sides of the face."""
  return bump(np.abs(x), y, (cx, cy), (rx, ry))


def _relief(x, y, person: Identity) -> np.ndarray:
  """How far features stand out to the front, in cm."""
  s = person.shape
  z = (0.4 + 0.14 * s['brow_ridge']) * _both(x, y, 2.7, -2.1, 2.7, 1.2)
  z += -(0.95 + 0.12 * s['eye_depth']) * _both(x, y, 3.0, 0.0, 2.6, 2.0) - 0.75 * _both(x, y, 1.75, -0.1, 1.2, 1.7)
  z += 0.62 * _both(x, y, EYE_X, 0.0, 2.0, 1.35)
  z += (0.5 + 0.14 * s['cheekbones']) * _both(x, y, 4.8, 2.6, 2.6, 2.3)
  z += (0.12 + 0.28 * s['cheek_fullness']) * _both(x, y, 4.4, 5.8, 2.4, 2.8)
  z += 0.55 * bump(x, y, (0, 6.5), (3.6, 3.2)) - 0.14 * bump(x, y, (0, 5.35), (0.55, 0.8))
  full = 1 + 0.22 * s['lip_fullness']
  z += full * (0.42 * bump(x, y, (0, 6.3), (2.8, 0.75)) + 0.5 * bump(x, y, (0, 7.45), (2.5, 0.85)))
  z += -0.35 * bump(x, y, (0, MOUTH_Y), (2.9, 0.4)) - 0.4 * bump(x, y, (0, 8.75), (2.2, 0.75))
  z += (0.65 + 0.25 * s['chin_size']) * bump(x, y, (0, 10.3), (2.3, 1.7))
  z += -0.25 * s['forehead'] * bump(x, y, (0, -7.5), (6.5, 4.5))
  z += -(0.1 + 0.05 * s['age']) * _both(x, y, 2.7, 4.9, 0.8, 1.8)
  return z + _nose(x, y, person)


def _nose(x, y, person: Identity) -> np.ndarray:
  s = person.shape
  y = y / (1 + 0.035 * s['nose_length'])
  bridge, tip = 1 + 0.2 * s['nose_bridge'], 1 + 0.1 * s['nose_height']
  ridge = interpolate(
    y,
    (-1.6, -0.6, 0.6, 2.2, 3.3, 3.9, 4.35, 4.65, 4.95),
    (0.0, 0.35 * bridge, 0.85 * bridge, 1.55 * tip, 2.15 * tip, 2.35 * tip, 2.0 * tip, 0.7, 0.0),
  )
  half = interpolate(y, (-1.6, 0.5, 2.4, 3.4, 4.1, 4.7), (1.3, 1.25, 1.35, 1.6, 1.7, 1.4))
  half = half * (1 + 0.07 * s['nose_width'])
  across = np.maximum(0.0, 1 - (x / half) * (x / half))
  wings = 0.75 * _both(x, y, 1.3 + 0.1 * s['nose_width'], 4.05, 0.75, 0.75)
  return ridge * across * across + wings + 0.25 * bump(x, y, (0, 3.8), (1.1, 0.8))


def _proportions(x, y, person: Identity) -> np.ndarray:
  """Sideways and vertical differences from the average face, float64[..., 3] cm."""
  s = person.shape
  dx, dy = np.zeros_like(x), np.zeros_like(y)
  side = np.sign(x)
  eye = _both(x, y, EYE_X, 0.0, 3.0, 2.6)
  dx += 0.14 * s['eye_distance'] * side * eye
  dy += -0.11 * s['eye_tilt'] * (np.abs(x) - EYE_X) * _both(x, y, EYE_X, 0.0, 2.4, 2.0)
  dy += -0.2 * s['brow_height'] * _both(x, y, 3.0, -2.6, 3.2, 1.6)
  dy += 0.2 * s['nose_length'] * bump(x, y, (0, 4.2), (2.6, 2.4))
  dx += 0.14 * s['nose_width'] * side * _both(x, y, 1.4, 4.1, 1.2, 1.2)
  dx += 0.1 * s['mouth_width'] * x * bump(x, y, (0, MOUTH_Y), (4.5, 2.2))
  dx += 0.075 * s['jaw_width'] * x * smoothstep((y - 2.0) / 5.0)
  dy += 0.4 * s['chin_size'] * smoothstep((y - 8.0) / 3.0) * smoothstep((4.5 - np.abs(x)) / 4.0)
  dx += 0.04 * s['cheekbones'] * x * bump(x, y, (0, 2.0), (9.0, 3.5))
  return np.stack([dx, dy, np.zeros_like(x)], -1)


def aperture(x) -> np.ndarray:
  """Shape of an open eye along x: 0 at its corners, 1 in the middle."""
  t = (np.abs(x) - EYE_X) / EYE_HALF
  inside = np.maximum(0.0, 1 - t * t)
  return 0.5 * inside + 0.5 * np.sqrt(inside)


def _moves(x, y) -> dict[str, np.ndarray]:
  """The shapes that move a face, each float64[rows, columns, 3] cm for a value of 1."""
  side, zero = np.sign(x), np.zeros_like(x)
  moves = dict(zip(('upper_lid', 'lower_lid'), _lids(x, y), strict=True))
  moves['jaw'] = _jaw(x, y)
  lips = bump(x, y, (0, MOUTH_Y), (4.6, 2.6))
  edge = bump(x, y, (0, MOUTH_Y), (3.0, 1.6))
  moves['wide'] = np.stack([0.2 * x * lips, zero, -0.25 * lips], -1)
  moves['round'] = np.stack([-0.34 * x * lips, zero, 1.0 * edge], -1)
  corner = _both(x, y, 2.7, 6.7, 2.4, 1.9)
  cheek = _both(x, y, 4.2, 3.4, 2.8, 2.6)
  moves['smile'] = np.stack(
    [side * (0.55 * corner + 0.1 * cheek), -0.75 * corner - 0.45 * cheek, -0.3 * corner + 0.4 * cheek], -1
  )
  moves['frown'] = np.stack([side * 0.1 * corner, 0.65 * corner - 0.15 * bump(x, y, (0, 8.4), (2.0, 1.6)), zero], -1)
  moves['press'] = np.stack(
    [zero, 0.25 * bump(x, y, (0, 6.2), (3, 0.8)) - 0.3 * bump(x, y, (0, 7.6), (3, 0.9)), -0.25 * edge], -1
  )
  moves['sneer'] = np.stack(
    [
      zero,
      -0.45 * _both(x, y, 1.5, 6.0, 1.9, 1.5) - 0.3 * _both(x, y, 1.2, 4.0, 1.2, 1.4),
      0.12 * _both(x, y, 1.6, 4.4, 1.4, 1.2),
    ],
    -1,
  )
  moves['smirk'] = np.where((x > 0)[..., None], moves['smile'] * 0.8, 0.0)
  moves['inner_brow'] = np.stack([zero, -0.7 * _both(x, y, 1.5, -2.5, 2.3, 2.0), zero], -1)
  moves['outer_brow'] = np.stack([zero, -0.65 * _both(x, y, 4.0, -2.6, 2.6, 2.0), zero], -1)
  furrow = _both(x, y, 1.7, -2.3, 2.2, 1.9)
  moves['furrow'] = np.stack([-side * 0.3 * furrow, 0.5 * furrow, 0.12 * bump(x, y, (0, -2.0), (1.5, 1.2))], -1)
  moves['cheek'] = np.stack([zero, -0.4 * cheek, 0.35 * cheek], -1)
  return moves


def _lids(x, y) -> tuple[np.ndarray, np.ndarray]:
  """A centimetre downwards of the edge of the upper lids, and of the lower ones."""
  row = np.arange(len(y))[:, None]
  zero = np.zeros_like(x)
  open_at = aperture(x)
  upper = np.where(row <= UPPER_LID, 1.0, 0.0) * _fade(y / 1.6) * open_at
  lower = np.where(row >= LOWER_LID, 1.0, 0.0) * _fade(y / 1.5) * open_at
  return np.stack([zero, upper, zero], -1), np.stack([zero, lower, zero], -1)


def _fade(t) -> np.ndarray:
  inside = np.maximum(0.0, 1 - np.abs(t))
  return inside * inside


def _jaw(x, y) -> np.ndarray:
  """The jaw turned open by 0.3 rad around the ears: 2.6 cm between the lips."""
  row = np.arange(len(y))[:, None]
  follows = smoothstep((y - 4.4) / 5.2)
  t = x / MOUTH_X
  inside = np.maximum(0.0, 1 - t * t)
  inside = 0.4 * inside + 0.6 * np.sqrt(inside)
  below = follows + (1 - follows) * inside * smoothstep((y - 6.0) / 0.8)
  above = follows * (1 - inside * _fade((MOUTH_Y - y) / 4.0))
  weight = np.where(row >= LOWER_LIP, below, above) * smoothstep((7.3 - np.abs(x)) / 3.0)
  # The upper lip is drawn up a little, so that its teeth show.
  lift = -0.18 * inside * _fade((MOUTH_Y - y) / 2.5) * np.where(row <= UPPER_LIP, 1.0, 0.0)
  return np.stack([np.zeros_like(x), 2.6 * weight + lift, (-0.28 * y + 0.3) * weight], -1)
