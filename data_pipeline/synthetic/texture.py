"""Colours painted once for a person: skin with brows, lips and beard, irises, teeth, hair, clothes, background."""

import dataclasses

import numpy as np

from data_pipeline.synthetic import exact, parts
from data_pipeline.synthetic.exact import bump, interpolate, smoothstep
from data_pipeline.synthetic.head import ANGLES, BROW_ARCH, BROW_Y, EYE_HALF, EYE_X, GRID, MOUTH_X, MOUTH_Y, Head
from data_pipeline.synthetic.identity import Identity

_LASH = np.array([0.012, 0.009, 0.008])
IRIS_RADIUS = 0.62  # cm
EYE_REACH = 2.6  # cm from the iris' centre to the border of its picture


@dataclasses.dataclass(frozen=True)
class Picture:
  """A texture: float32[height, width, 3] linear RGB, and the label of each texel, uint8[height, width]."""

  colour: np.ndarray
  label: np.ndarray


def paint(person: Identity, head: Head, others: list[parts.Part], detail: int) -> dict[str, Picture]:
  """Returns the picture of every part, and of 'face'.

  Args:
    person: whose colours.
    head: its grid; the face's picture has `detail` texels along each cell.
    others: what else needs a picture.
    detail: texels for each cell of the face's grid; about the pixels of a cell in the rendered picture.
  """
  pictures = {'face': _face(person, head, detail)}
  painters = {
    'eye': _eye,
    'eye_lining': _eye_lining,
    'mouth_lining': _mouth_lining,
    'tongue': _tongue,
    'upper_teeth': _teeth,
    'lower_teeth': _teeth,
    'ear': _ear,
    'neck': _ear,
    'cloth': _cloth,
    'hair': _hair,
  }
  for part in others:
    if part.name not in pictures:
      colour = painters[part.name.rstrip('01')](person, detail)
      pictures[part.name] = Picture(colour.astype(np.float32), np.full(colour.shape[:2], part.label, np.uint8))
  return pictures


def _refined(values: np.ndarray, detail: int) -> np.ndarray:
  """Bilinear interpolation of a grid, `detail` texels a cell, texels at cell fractions (k + 1/2) / detail."""
  rows, columns = values.shape[0] - 1, values.shape[1] - 1
  r, c = (np.arange(rows * detail) + 0.5) / detail, (np.arange(columns * detail) + 0.5) / detail
  i, j = r.astype(int), c.astype(int)
  fr, fc = (r - i)[:, None], (c - j)[None]
  top = values[i][:, j] * (1 - fc) + values[i][:, j + 1] * fc
  return top * (1 - fr) + (values[i + 1][:, j] * (1 - fc) + values[i + 1][:, j + 1] * fc) * fr


def noise(seed: int, rows: int, columns: int, cell: tuple[float, float]) -> np.ndarray:
  """Smooth random float64[rows, columns] in [-1, 1], one knot every `cell` (rows, columns)."""
  height, width = int(rows / cell[0]) + 2, int(columns / cell[1]) + 2
  knots = exact.Stream(seed, 'noise', height, width).uniform(-1, 1, height * width).reshape(height, width)
  r, c = np.arange(rows) / cell[0], np.arange(columns) / cell[1]
  i, j = r.astype(int), c.astype(int)
  fr, fc = smoothstep(r - i)[:, None], smoothstep(c - j)[None]
  top = knots[i][:, j] * (1 - fc) + knots[i][:, j + 1] * fc
  return top * (1 - fr) + (knots[i + 1][:, j] * (1 - fc) + knots[i + 1][:, j + 1] * fc) * fr


def _over(colour: np.ndarray, paint_: np.ndarray, cover: np.ndarray) -> np.ndarray:
  return colour + cover[..., None] * (paint_ - colour)


def _face(person: Identity, head: Head, detail: int) -> Picture:
  x, y = _refined(head.flat[..., 0], detail), _refined(head.flat[..., 1], detail)
  rows, columns = x.shape
  s = person.shape
  colour = np.broadcast_to(person.skin, (rows, columns, 3)).copy()
  mottle = noise(person.seed, rows, columns, (3.0 * detail, 3.0 * detail))
  colour *= (1 + 0.04 * mottle)[..., None]
  blush = 0.5 * bump(np.abs(x), y, (4.4, 3.6), (2.8, 2.4)) + 0.55 * bump(x, y, (0, 3.9), (1.6, 1.3))
  colour *= 1 - blush[..., None] * np.array([0.02, 0.16, 0.14])
  # Light that reaches hollows less: sockets, sides of the nose, below the lip, under the jaw.
  hollow = 0.3 * bump(np.abs(x), y, (1.75, -0.5), (1.2, 1.5)) + 0.22 * bump(np.abs(x), y, (3.1, -0.9), (2.2, 0.9))
  hollow += 0.16 * bump(np.abs(x), y, (3.0, 0.9), (1.8, 0.6)) * (1 + 0.4 * s['age'])
  hollow += 0.22 * bump(np.abs(x), y, (1.7, 4.4), (0.6, 0.9)) + 0.28 * bump(x, y, (0, 8.55), (2.0, 0.55))
  hollow += 0.2 * bump(x, y, (0, 4.95), (1.6, 0.5)) + 0.5 * smoothstep((y - 11.3) / 0.4)
  fold = np.abs(np.abs(x) - (1.9 + 0.28 * (y - 4.2)))
  hollow += (0.1 + 0.06 * s['age']) * smoothstep(1 - fold / 0.3) * bump(x, y, (0, 5.6), (9, 2.0))
  colour *= (1 - np.clip(hollow, 0, 0.75))[..., None] * np.array([1.0, 0.98, 0.97]) + 0.0
  freckles = noise(person.seed + 1, rows, columns, (0.4 * detail, 0.4 * detail))
  spots = person.freckles * smoothstep((freckles - 0.35) / 0.3) * bump(x, y, (0, 2.8), (6.5, 3.6))
  colour *= 1 - spots[..., None] * np.array([0.2, 0.34, 0.4])
  colour = _beard(person, colour, x, y)
  colour, lips = _lips(person, colour, x, y)
  nostrils = smoothstep(1.7 * bump(np.abs(x), y, (0.68, 4.62), (0.5, 0.24)))
  colour = _over(colour, np.array([0.02, 0.008, 0.006]), 0.9 * nostrils)
  colour = _brows(person, colour, x, y)
  colour = _lid_lines(colour, x, y)
  colour = _hairline(person, colour, y, detail)
  label = np.where(lips, parts.MOUTH, parts.SKIN).astype(np.uint8)
  return Picture(colour.astype(np.float32), label)


def _beard(person: Identity, colour, x, y) -> np.ndarray:
  if not person.beard:
    return colour
  rows, columns = x.shape
  hairs = noise(person.seed + 2, rows, columns, (1.5, 1.5))
  cheeks = smoothstep((y - 4.6 - 3.2 * smoothstep((5.6 - np.abs(x)) / 2.6)) / 1.8)
  moustache = smoothstep(2.2 * bump(x, y - 0.12 * x * x, (0, 5.65), (3.4, 1.0)))
  below = smoothstep((12.4 - y) / 0.6)
  cover = np.maximum(cheeks, moustache) * below * (1 - 0.7 * bump(x, y, (0, 8.3), (1.8, 0.8)))
  return _over(colour, person.hair * 0.8, np.clip(0.8 * person.beard * cover * (0.8 + 0.35 * hairs), 0, 0.92))


def _lips(person: Identity, colour, x, y) -> tuple[np.ndarray, np.ndarray]:
  """Paints the lips; returns also bool[rows, columns], where they are."""
  full = 1 + 0.2 * person.shape['lip_fullness']
  t = np.minimum(np.abs(x) / (MOUTH_X + 0.12), 1.0)
  bow = 1 - 0.22 * bump(x, 0 * x, (0, 0), (0.6, 1.0))
  top = MOUTH_Y - 0.95 * full * bow * (1 - t * t * (0.55 + 0.45 * t))
  bottom = MOUTH_Y + 1.12 * full * np.sqrt(np.maximum(0.0, 1 - t * t)) * (1 - 0.15 * t)
  inside = np.where(y < MOUTH_Y, (y - top) / 0.14, (bottom - y) / 0.2)
  cover = smoothstep(inside + 0.5) * smoothstep((1 - t) / 0.08)
  wrinkles = 1 + 0.04 * exact.sin(x * 23.0)
  # The upper lip looks down and is darker, the lower one catches light; the line between them is darkest.
  tone = np.where(y < MOUTH_Y, 0.78, 1.0 + 0.2 * bump(x, y, (0, 7.4), (1.6, 0.5)))
  tone = tone * (1 - 0.55 * smoothstep(1 - np.abs(y - MOUTH_Y) / 0.22)) * wrinkles
  return _over(colour, person.lips * tone[..., None], 0.92 * cover), (inside > 0) & (t < 1)


def _brows(person: Identity, colour, x, y) -> np.ndarray:
  s = person.shape
  rows, columns = x.shape
  along = (np.abs(x) - 1.25) / 4.0  # 0 at the inner end, 1 at the outer one
  middle = BROW_Y - (BROW_ARCH + 0.15 * s['brow_arch']) * (1 - (along - 0.62) * (along - 0.62) / 0.36)
  half = (0.42 + 0.09 * s['brow_thickness']) * interpolate(along, (0.0, 0.12, 0.5, 1.0), (0.55, 1.0, 0.85, 0.15))
  hairs = noise(person.seed + 3, rows, columns, (4.0, 1.6))
  edge = 1 - np.abs(y - middle) / half
  cover = smoothstep(edge * 1.8 + 0.25 * hairs) * smoothstep(along / 0.1 + 0.3) * smoothstep((1.05 - along) / 0.1)
  tint = np.minimum(person.hair * 0.75, 0.28)
  return _over(colour, tint, np.clip((0.85 + 0.2 * hairs) * cover, 0, 0.95))


def _lid_lines(colour, x, y) -> np.ndarray:
  """Lashes along the edges of the lids, and the crease above."""
  t = (np.abs(x) - EYE_X) / (EYE_HALF + 0.1)
  width = smoothstep((1.02 - np.abs(t)) / 0.06)
  upper = smoothstep(1.25 - np.abs(y + 0.02) / (0.19 + 0.07 * t)) * np.where(y < 0, 1.0, 0.0)
  lower = smoothstep(1.1 - np.abs(y) / 0.12) * np.where(y > 0, 0.55, 0.0)
  colour = _over(colour, _LASH, 0.92 * np.maximum(upper, lower) * width)
  crease = smoothstep(1 - np.abs(y + 0.62 + 0.12 * (1 - t * t)) / 0.14) * smoothstep((1.15 - np.abs(t)) / 0.3)
  return colour * (1 - 0.4 * crease[..., None] * np.array([0.9, 1.0, 1.0]))


def _hairline(person: Identity, colour, y, detail: int) -> np.ndarray:
  """Single hairs below the edge of the hair, so that it does not look cut out."""
  if person.style == 'bald':
    return colour
  rows, columns = y.shape
  angles = _refined(np.broadcast_to(ANGLES, GRID), detail)[:1] * (180 / exact.PI)
  strands = 0.6 * noise(person.seed + 8, rows, columns, (4.0 * detail, 0.12 * detail))
  strands += 0.5 * noise(person.seed + 9, rows, columns, (4.0 * detail, 1.2 * detail))
  below = parts.hairline(person, np.abs(angles)) - y
  cover = smoothstep((below + 0.35 + 0.6 * strands) / 0.9) * smoothstep((3.0 - y) / 2.0)
  return _over(colour, person.hair * 0.8, 0.85 * cover)


def _eye(person: Identity, detail: int) -> np.ndarray:
  side = 24 * detail
  axis = ((np.arange(side) + 0.5) / side * 2 - 1) * EYE_REACH
  x, y = axis[None] + 0 * axis[:, None], axis[:, None] + 0 * axis[None]
  radius = np.sqrt(x * x + y * y)
  colour = (
    np.broadcast_to(np.array([0.60, 0.55, 0.52]), (side, side, 3))
    * (1 - 0.2 * smoothstep((radius - 0.9) / 1.2))[..., None]
  )
  soft = 1.3 * EYE_REACH / side + 0.03
  streaks = 1 + 0.22 * exact.sin(31.0 * x / (radius + 0.2)) * exact.sin(27.0 * y / (radius + 0.2))
  ring = 1.25 - 0.95 * smoothstep((radius - 0.44) / 0.17)
  iris = person.iris * (streaks * ring * 1.25)[..., None]
  colour = _over(colour, iris, smoothstep((IRIS_RADIUS - radius) / soft + 0.5))
  colour = _over(colour, np.array([0.004, 0.004, 0.004]), smoothstep((0.25 - radius) / soft + 0.5))
  return _over(
    colour,
    np.array([1.3, 1.3, 1.3]),
    smoothstep(2.2 * bump(x, y, (0.22 * float(np.sign(person.light[0]) or 1), -0.24), (0.17, 0.17))),
  )


def _eye_lining(person: Identity, detail: int) -> np.ndarray:
  return np.broadcast_to(person.skin * np.array([0.35, 0.22, 0.2]), (4, 4, 3))


def _mouth_lining(person: Identity, detail: int) -> np.ndarray:
  return np.broadcast_to(np.array([0.03, 0.006, 0.006]), (4, 4, 3))


def _tongue(person: Identity, detail: int) -> np.ndarray:
  side = 6 * detail
  across = (np.arange(side) + 0.5) / side * 2 - 1
  groove = 1 - 0.3 * smoothstep(1 - np.abs(across) / 0.15)
  return np.broadcast_to(np.array([0.5, 0.13, 0.14]) * groove[None, :, None], (side, side, 3))


def _teeth(person: Identity, detail: int) -> np.ndarray:
  rows, columns = 6 * detail, 14 * detail
  x = ((np.arange(columns) + 0.5) / columns * 2 - 1)[None]
  t = ((np.arange(rows) + 0.5) / rows)[:, None]
  place = x * 4.0
  gap = smoothstep(1 - np.abs(place - np.rint(place)) / 0.09)
  colour = np.array([0.80, 0.75, 0.66]) * (1 - 0.45 * gap[..., None] * smoothstep(np.abs(t - 0.4) * 2 + 0.2)[..., None])
  return colour * (0.85 + 0.15 * t)[..., None]


def _ear(person: Identity, detail: int) -> np.ndarray:
  return np.broadcast_to(person.skin * np.array([1.0, 0.93, 0.92]), (4, 4, 3))


def _cloth(person: Identity, detail: int) -> np.ndarray:
  rows, columns = 11 * detail, 30 * detail
  weave = noise(person.seed + 4, rows, columns, (max(1.0, detail / 2), max(1.0, detail / 2)))
  folds = noise(person.seed + 5, rows, columns, (4.0 * detail, 2.5 * detail))
  return person.cloth * (1 + 0.06 * weave + 0.12 * folds)[..., None]


def _hair(person: Identity, detail: int) -> np.ndarray:
  rows, columns = 17 * detail, 48 * detail
  fine, wide = (1.2, 14.0) if person.style != 'afro' else (1.5, 2.0)
  strands = 0.6 * noise(person.seed + 6, rows, columns, (wide * detail / 4, fine)) + 0.4 * noise(
    person.seed + 7, rows, columns, (wide * detail, 0.6 * detail)
  )
  return person.hair * np.clip(1 + 0.75 * strands, 0.15, 2)[..., None]


def backdrop(person: Identity, side: int) -> np.ndarray:
  """Returns float32[side, side, 3] linear RGB: a wall in uneven light with blurred things."""
  axis = (np.arange(side) + 0.5) / side
  x, y = axis[None, :, None], axis[:, None, None]
  a, b, c, d = person.backdrop[:4]
  picture = (a * (1 - x) + b * x) * (1 - y) + (c * (1 - x) + d * x) * y
  for colour, (cx, cy, radius) in zip(person.backdrop[4:], person.spots, strict=True):
    picture = picture + 0.8 * bump(x, y, (cx, cy), (0.1 + 0.5 * radius, 0.1 + 0.5 * radius)) * (colour - picture)
  return picture.astype(np.float32)
