"""What a person has besides the face: eyeballs, teeth, tongue, ears, hair, neck and clothes, each a grid of points."""

import dataclasses

import numpy as np

from data_pipeline.synthetic import exact
from data_pipeline.synthetic.exact import interpolate, smoothstep
from data_pipeline.synthetic.head import MOUTH_Y, UPPER_LID, UPPER_LIP, Head, skull
from data_pipeline.synthetic.identity import Identity

# Labels of the masks.
BACKGROUND, SKIN, MOUTH, HAIR, EYES, CLOTHES = range(6)
LABELS = ('background', 'skin', 'mouth', 'hair', 'eyes', 'clothes')
# By how many cm a part counts as nearer when parts are sorted by depth: what lies inside the head comes before the
# skin around its openings, but after ears and hair on the far side.
BEHIND, LINING, INSIDE = -100.0, -8.5, -3.5
LININGS = {'eye_lining': (UPPER_LID, EYES), 'mouth_lining': (UPPER_LIP, MOUTH)}
EYE_NAMES = ('eye0', 'eye1')  # on the picture's left, then right
EYEBALL = (1.6, 1.2)  # half width and height of the visible patch of an eyeball


@dataclasses.dataclass(frozen=True)
class Part:
  """A grid of points with a texture.

  Attributes:
    name: of its texture.
    points: float64[rows, columns, 3] cm, at rest.
    follows: float64[rows], 1 where the part turns with the head, 0 where it stays with the body.
    jaw: share of the jaw's movement that it makes, 0 to 1.
    nearer: added to the depth for sorting, in cm.
    label: of the mask.
    shine: strength of highlights.
    shade: factor of the light, float64 that broadcasts to [rows, columns].
    flip: whether the grid's inner side is what is seen.
  """

  name: str
  points: np.ndarray
  follows: np.ndarray
  label: int
  jaw: float = 0.0
  nearer: float = 0.0
  shine: float = 0.0
  shade: np.ndarray | float = 1.0
  flip: bool = False


def build(person: Identity, head: Head) -> list[Part]:
  """Returns all parts of a person but the face itself."""
  # What is seen through an opening where nothing else lies: its own outline, filled.
  parts = [_rigid(name, head.rest[row : row + 2], label, nearer=LINING) for name, (row, label) in LININGS.items()]
  parts += [_eyeball(eye, name) for eye, name in zip(head.eyes, EYE_NAMES, strict=True)]
  parts += _mouth(head)
  parts += [_ear(person, head, side) for side in (-1, 1)]
  parts += [*_body(head), *_hair(person, head)]
  return parts


def _eyeball(centre: np.ndarray, name: str) -> Part:
  x, y = _mesh((-EYEBALL[0], EYEBALL[0], 13), (-EYEBALL[1], EYEBALL[1], 11))
  z = -0.26 * x * x - 0.3 * y * y - 0.1
  return _rigid(name, np.stack([x, y, z], -1) + centre, EYES, nearer=INSIDE, shine=0.15)


def _mouth(head: Head) -> list[Part]:
  middle = head.rest.shape[1] // 2
  lip = head.rest[np.argmin(np.abs(head.flat[:, middle, 1] - MOUTH_Y)), middle]
  x, t = _mesh((-2.6, 2.6, 15), (0.0, 1.0, 5))
  curve = -0.75 - 0.16 * x * x
  upper = np.stack([x, lip[1] - 1.0 + 1.4 * t, lip[2] + curve], -1)
  lower = np.stack([0.92 * x, lip[1] - 0.4 + 1.3 * t, lip[2] + curve - 0.25], -1)
  dark = 0.95 - 0.11 * x * x
  tongue_x, back = _mesh((-2.1, 2.1, 13), (1.0, 0.0, 7))
  lift = lip[1] - 0.1 + 0.1 * tongue_x * tongue_x + 0.4 * (1 - back) * (1 - back)
  tongue = np.stack([tongue_x, lift - 1.1 * back, lip[2] - 1.45 - 2.2 * back - 0.3 * tongue_x * tongue_x], -1)
  return [
    _rigid('tongue', tongue, MOUTH, nearer=INSIDE + 0.9, jaw=1.0, shine=0.05, shade=1.0 - 0.45 * back),
    _rigid('lower_teeth', lower, MOUTH, nearer=INSIDE + 1.3, jaw=1.0, shine=0.05, shade=0.85 * dark),
    _rigid('upper_teeth', upper, MOUTH, nearer=INSIDE + 1.7, shine=0.08, shade=dark),
  ]


def _ear(person: Identity, head: Head, side: int) -> Part:
  angle, radius = _mesh((-exact.PI, exact.PI, 17), (0.0, 1.0, 6))
  size = 1 + 0.07 * person.shape['ear_size']
  lobe = 1 - 0.3 * smoothstep((exact.cos(angle) * -1) * 1.0)
  out = radius * size * exact.sin(angle) * 1.75 * lobe
  y = -radius * size * exact.cos(angle) * 3.1 + 1.3
  rim = 0.45 * exact.bump(radius, 0 * radius, (0.86, 0.0), (0.3, 1.0)) - 0.35 * exact.bump(
    radius, 0 * radius, (0.35, 0.0), (0.45, 1.0)
  )
  # The disc leans out and back from the side of the head.
  lean = 0.05 if person.style in ('bob', 'long') else 0.42  # long hair lies over the ears
  x = head.scale[0] * (7.15 + lean * (out + 1.2) + 2 * lean * rim)
  z = -1.4 - 0.9 * out + 0.4 * rim
  points = np.stack([side * x, head.scale[1] * y, z], -1)
  shade = 0.55 + 0.45 * smoothstep((radius - 0.3) / 0.45)
  return _rigid(f'ear{(side + 1) // 2}', points, SKIN, shade=shade, flip=side > 0)


def _body(head: Head) -> list[Part]:
  angle, t = _mesh((-3.0, 3.0, 41), (0.0, 1.0, 12))
  s, c = exact.sin(angle), exact.cos(angle)
  radius = (5.3 + 0.75 * np.maximum(0.0, 1 - 4 * t)) * head.scale[0] + 2.2 * t * t * t
  top = 4.5 + 6.5 * np.minimum(c, 0.0)  # the nape lies higher than the throat
  y = top + (17.5 - top) * t + 0.8 * c * t
  neck = np.stack([radius * s, y * head.scale[1], (0.86 * radius) * c - 2.6 + 0.6 * t - 0.8 * (1 - t) * (1 - c)], -1)
  shade = 0.42 + 0.58 * smoothstep((t - 0.3) / 0.5)
  follows = 1 - smoothstep(t[:, 0] / 0.9)
  angle, t = _mesh((-3.0, 3.0, 49), (0.0, 1.0, 12))
  s, c = exact.sin(angle), exact.cos(angle)
  collar = 7.4 * head.scale[0]
  width = collar + 15.0 * exact.exp(-0.7 / (t + 0.05))
  top = 14.2 + 1.6 * np.maximum(c, 0.0)
  cloth_y = (top + 3.4 * t + 9.0 * t * t) * head.scale[1]
  cloth = np.stack([width * s, cloth_y, (6.3 + 3.5 * t) * c - 2.6], -1)
  return [
    Part('neck', neck, follows, SKIN, nearer=BEHIND, shade=shade),
    Part('cloth', cloth, np.zeros(len(cloth)), CLOTHES, nearer=BEHIND),
  ]


# Lower edge of the hair at the angles below (degrees from the front), thickness in cm, how far hair beyond the jaw
# stands from the neck.
_EDGE_ANGLES = (0.0, 25.0, 45.0, 58.0, 68.0, 78.0, 88.0, 100.0, 115.0, 150.0)
_EDGES = {
  'buzz': (-6.5, -6.6, -6.0, -4.3, -2.2, 0.2, -2.4, -2.6, 0.0, 4.5),
  'short': (-6.3, -6.4, -5.9, -4.2, -2.0, 1.2, -2.4, -2.6, 1.0, 5.5),
  'swept': (-6.9, -6.6, -5.6, -4.0, -1.8, 0.8, -2.4, -2.6, 1.0, 5.5),
  'fringe': (-3.9, -4.0, -3.8, -2.8, -1.0, 1.5, -1.0, -1.0, 2.5, 6.5),
  'bob': (-6.6, -6.2, -5.2, -3.6, -0.5, 6.5, 9.5, 10.0, 10.0, 10.0),
  'long': (-6.8, -6.4, -5.4, -3.8, -0.8, 8.0, 17.0, 18.0, 18.0, 18.0),
  'afro': (-5.9, -6.0, -5.4, -4.0, -2.0, 0.6, -1.5, -1.0, 2.0, 6.0),
}
_THICKNESS = {'buzz': 0.25, 'short': 0.9, 'swept': 1.5, 'fringe': 1.1, 'bob': 1.2, 'long': 1.1, 'afro': 3.6}


def hairline(person: Identity, degrees: np.ndarray) -> np.ndarray:
  """Returns the height in cm down to which hair grows, at angles around the head in degrees from the front."""
  return interpolate(degrees, _EDGE_ANGLES, _EDGES[person.style])


def _hair(person: Identity, head: Head) -> list[Part]:
  if person.style == 'bald':
    return []
  angle, t = _mesh((-2.6, 2.6, 73), (0.0, 1.0, 18))
  degrees = np.abs(angle) * (180 / exact.PI)
  edge = hairline(person, degrees)
  edge = edge + 0.12 * exact.Stream(person.seed, 'hairline').uniform(-1, 1, 73) * smoothstep((100 - degrees[0]) / 20)
  y = -11.6 + t * (edge + 11.6)
  points = skull(np.minimum(y, 3.0), angle)
  # Below the cheekbones the skull narrows, but hair hangs.
  points[..., 1] = np.where(y > 3.0, y, points[..., 1])
  thick = _THICKNESS[person.style]
  volume = thick * (1 - 0.7 * smoothstep((t - 0.75) / 0.25)) + 0.15
  if person.style in ('bob', 'long'):
    volume = thick * (1 - 0.6 * smoothstep((t - 0.75) / 0.25) * smoothstep((70 - degrees) / 20))
  if person.style == 'swept':
    volume = volume * (1 + 0.35 * exact.sin(angle + 0.8))
  grow = 1 + volume / 9.0
  points = points * np.stack([grow, np.where(y < 0, grow, 1.0), grow], -1)
  points[..., 0] *= head.scale[0]
  points[..., 1] = np.where(y < 0, points[..., 1] * head.scale[1] - 0.2 * volume, points[..., 1] * head.scale[1])
  shade = 0.75 + 0.25 * smoothstep((1 - t) / 0.1)
  front = _rigid('hair', points, HAIR, nearer=0.3, shine=0.16, shade=shade)
  inside = dataclasses.replace(front, nearer=BEHIND, flip=True, shine=0.0, shade=0.45)
  return [front, inside]


def _rigid(name: str, points: np.ndarray, label: int, **options) -> Part:
  return Part(name, points, np.ones(len(points)), label, **options)


def _mesh(columns: tuple[float, float, int], rows: tuple[float, float, int]) -> tuple[np.ndarray, np.ndarray]:
  """Two float64[rows, columns] that run evenly over (first, last, count)."""
  (a, b, width), (c, d, height) = columns, rows
  x = a + (b - a) * (np.arange(width) / (width - 1))
  y = c + (d - c) * (np.arange(height) / (height - 1))
  return np.broadcast_to(x, (height, width)).copy(), np.broadcast_to(y[:, None], (height, width)).copy()
