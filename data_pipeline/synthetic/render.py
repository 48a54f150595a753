"""One person's pictures: factors -> image, landmarks and mask."""

import dataclasses

import numpy as np

from data_pipeline.synthetic import exact, factors, head, parts, raster, texture
from data_pipeline.synthetic.identity import Identity, unit
from data_pipeline.synthetic.landmarks import Landmarks

_CAMERA = 80.0  # cm from the head
_PIXELS_PER_CM = 0.0405  # for a picture of side 1: the framing of prepared clips
_CENTRE = (0.5, 0.54, 3.75)  # where in the picture the middle of the face lies (x, y), and its height in cm
_PIVOT = np.array([0.0, 4.5, -3.0])  # the head turns around the top of the spine
_SAMPLES = 3  # along each side of a pixel
_GAZE = (0.5, 0.33)  # cm by which the iris moves for a gaze of 1


@dataclasses.dataclass(frozen=True)
class Frame:
  """A rendered frame.

  Attributes:
    image: uint8[side, side, 3].
    landmarks: float32[68, 2], (x, y) pixels, pixel centres at whole numbers.
    mask: uint8[side, side], numbers of `parts.LABELS`.
  """

  image: np.ndarray
  landmarks: np.ndarray
  mask: np.ndarray


class Renderer:
  """Renders one person at one size.

  Args:
    person: who.
    side: of the pictures in pixels.
  """

  def __init__(self, person: Identity, side: int):
    if side < 16:
      raise ValueError(f'side must be at least 16 pixels, got {side}')
    self.side, self._person = side, person
    self._head = head.build(person)
    others = parts.build(person, self._head)
    face = parts.Part('face', self._head.rest, np.ones(len(self._head.rest)), parts.SKIN, shine=0.1)
    self._scene = _Scene([face, *others], texture.paint(person, self._head, others, _detail(side)))
    self._landmarks = Landmarks(person, self._head)
    backdrop = texture.backdrop(person, side).reshape(side, side, 3)
    self._backdrop = np.repeat(np.repeat(backdrop, _SAMPLES, 0), _SAMPLES, 1).reshape(-1, 3)
    self._moves = {name: move.reshape(-1, 3) for name, move in self._head.moves.items()}

  def render(self, state: np.ndarray) -> Frame:
    """Renders one frame.

    Args:
      state: float[len(factors.NAMES)].
    """
    if state.shape != (len(factors.NAMES),):
      raise ValueError(f'state must have shape ({len(factors.NAMES)},), got {state.shape}')
    # Factors are stored as float32; rendering from the same numbers makes a picture reproducible from its record.
    value = dict(zip(factors.NAMES, np.float64(np.float32(state)).tolist(), strict=True))
    scene, grid = self._scene, self._head.rest.shape[:2]
    points = scene.points.copy()
    size = grid[0] * grid[1]
    self._move_face(points[:size], value)
    self._move_jaw(points, value)
    for name, (row, _) in parts.LININGS.items():
      points[scene.where[name]] = points[row * grid[1]:(row + 2) * grid[1]]
    normals = scene.normals.copy()
    normals[:size] = grid_normals(points[:size].reshape(*grid, 3), _SEAMS).reshape(-1, 3)
    turn = rotation(value['yaw'], value['pitch'], value['roll'])
    points += scene.follows[:, None] * (rotate(turn, points - _PIVOT) + _PIVOT - points)
    normals += scene.follows[:, None] * (rotate(turn, normals) - normals)
    screen = self._project(points, value)
    landmarks = self._landmarks.find(screen[:size].reshape(*grid, 2))
    light, shine = self._shade(normals, scene)
    light *= self._lid_shadow(value)
    uv = scene.uv.copy()
    for side in ('eye0', 'eye1'):
      uv[scene.where[side]] -= np.array([value['gaze_x'] * _GAZE[0], value['gaze_y'] * _GAZE[1]]) * scene.eye_texels
    image, mask = self._paint(points[:, 2], screen, np.stack([uv[:, 0], uv[:, 1], light, shine]))
    return Frame(image, landmarks.astype(np.float32), mask)

  def _move_face(self, points: np.ndarray, value: dict[str, float]) -> None:
    """Adds the shapes of mouth and expression to the face."""
    upper, lower = self._lids(value)
    amounts = {
        'upper_lid': upper, 'lower_lid': lower,
        'jaw': value['opening'], 'wide': value['width'], 'round': value['rounding'],
        **{name: value[name] for name in factors.EXPRESSION if name in self._moves}}
    for name, amount in amounts.items():
      if amount:
        points += amount * self._moves[name]

  def _lids(self, value: dict[str, float]) -> tuple[float, float]:
    """Returns the heights of the upper and the lower lid's edge in cm, down from the middle of the eye."""
    wide, squint, shut = value['lid_raise'], value['squint'], value['blink']
    size = 1 + 0.12 * self._person.shape['eye_size']
    down = 0.16 * value['gaze_y']  # lids follow the gaze
    upper = -0.53 * size * (1 + 0.5 * wide - 0.3 * squint) + down
    lower = 0.38 * size * (1 - 0.5 * squint) + 0.5 * down
    return upper + shut * (0.3 - upper), lower + shut * (0.3 - lower)

  def _move_jaw(self, points: np.ndarray, value: dict[str, float]) -> None:
    """Takes lower teeth and tongue along with the jaw."""
    share = value['opening'] * self._scene.jaw
    y = points[:, 1].copy()
    points[:, 1] += 2.6 * share
    points[:, 2] += (-0.28 * y + 0.3) * share

  def _lid_shadow(self, value: dict[str, float]) -> np.ndarray:
    """Returns float64[vertices]: how much light the lids leave to the eyeballs, 1 elsewhere."""
    light = np.ones(len(self._scene.points))
    upper, lower = self._lids(value)
    for side, centre in zip(('eye0', 'eye1'), self._head.eyes, strict=True):
      y = self._scene.points[self._scene.where[side], 1] - centre[1]
      light[self._scene.where[side]] = (0.4 + 0.6 * exact.smoothstep((y - upper) / 0.5)) * (
          0.75 + 0.25 * exact.smoothstep((lower - y) / 0.3))
    return light

  def _project(self, points: np.ndarray, value: dict[str, float]) -> np.ndarray:
    """Returns float64[vertices, 2], pixels of the picture."""
    depth = _CAMERA / (_CAMERA - points[:, 2])
    scale = self.side * _PIXELS_PER_CM * value['zoom']
    x = self.side * (_CENTRE[0] + value['shift_x']) + scale * points[:, 0] * depth
    y = self.side * (_CENTRE[1] + value['shift_y']) + scale * (points[:, 1] - _CENTRE[2]) * depth
    return np.stack([x, y], -1) - 0.5

  def _shade(self, normals: np.ndarray, scene: '_Scene') -> tuple[np.ndarray, np.ndarray]:
    """Returns the light on each vertex (factor of its colour) and the highlight (added)."""
    person = self._person
    lamp = person.light
    towards = normals[:, 0] * lamp[0] + normals[:, 1] * lamp[1] + normals[:, 2] * lamp[2]
    # Skin lets light through, so its terminator is soft.
    soft = np.maximum(0.0, (towards + 0.3) / 1.3)
    sky = 0.8 - 0.2 * normals[:, 1] + 0.2 * normals[:, 2]
    light = scene.shade * (1.25 * person.lamp * soft * (0.4 + 0.6 * soft) + person.ambient * sky)
    half = unit(lamp + np.array([0.0, 0.0, 1.0]))
    glance = np.maximum(0.0, normals[:, 0] * half[0] + normals[:, 1] * half[1] + normals[:, 2] * half[2])
    for _ in range(4):
      glance = glance * glance
    return light, scene.shine * person.lamp * glance

  def _paint(self, depth: np.ndarray, screen: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fills the pixels. Returns uint8 image and mask."""
    scene, fine = self._scene, self.side * _SAMPLES
    x, y = ((np.ascontiguousarray(screen[:, k]) + 0.5) * _SAMPLES - 0.5 for k in range(2))
    chosen = np.flatnonzero(raster.facing(x, y, scene.triangles))
    a, b, c = scene.triangles[:, chosen]
    distance = depth[a] + depth[b] + depth[c] + scene.nearer[chosen]
    chosen = chosen[np.argsort(distance, kind='stable')]
    triangles = scene.triangles[:, chosen]
    owners = raster.visible(x, y, triangles, fine)
    seen = np.flatnonzero(owners != raster.NOTHING)
    owner = owners[seen]
    shown = np.zeros(len(chosen), bool)  # most triangles of a small picture lie between the samples
    shown[owner] = True
    owner = (np.cumsum(shown, dtype=np.int32) - 1)[owner]
    column, row = (seen % fine).astype(np.float32), (seen // fine).astype(np.float32)
    u, v, light, shine = (
        p[0][owner] + column * p[1][owner] + row * p[2][owner]
        for p in raster.planes(x, y, values, triangles[:, shown]))
    texel = scene.texel(chosen[shown][owner], u, v)
    colour = scene.colours[texel]
    colour *= light[:, None]
    colour += shine[:, None]
    picture = self._backdrop.copy()
    picture[seen] = np.minimum(colour, 1.0)
    labels = np.zeros(fine * fine, np.uint8)
    labels[seen] = scene.labels[texel]
    middle = slice(_SAMPLES // 2, None, _SAMPLES)
    return _shrink(picture.reshape(fine, fine, 3)), labels.reshape(fine, fine)[middle, middle].copy()


class _Scene:
  """All parts in common arrays over vertices, triangles and texels."""

  def __init__(self, items: list[parts.Part], pictures: dict[str, texture.Picture]):
    starts = np.cumsum([0, *(item.points.shape[0] * item.points.shape[1] for item in items)])
    self.where = {item.name: slice(a, b) for item, a, b in zip(items, starts[:-1], starts[1:], strict=True)}
    self.points = np.concatenate([item.points.reshape(-1, 3) for item in items])
    self.normals = np.concatenate([(-1.0 if item.flip else 1.0) * grid_normals(item.points).reshape(-1, 3)
                                   for item in items])
    shapes = [item.points.shape[:2] for item in items]
    self.follows = _spread([item.follows[:, None] for item in items], shapes)
    self.jaw, self.shade, self.shine = (
        _spread([getattr(item, name) for item in items], shapes) for name in ('jaw', 'shade', 'shine'))
    self._atlas(items, pictures)
    cells = [_triangles(shape, start, item) for shape, start, item in zip(shapes, starts, items, strict=False)]
    self.triangles = np.ascontiguousarray(np.concatenate(cells).T)
    self.nearer = np.concatenate([np.full(len(c), 3 * item.nearer) for c, item in zip(cells, items, strict=True)])
    number = np.concatenate([np.full(len(c), k) for k, c in enumerate(cells)])
    self._offset = self._offsets[number].astype(np.int32)
    self._stride = self._strides[number].astype(np.int32)

  def _atlas(self, items, pictures) -> None:
    """Lays the pictures, each with a border of one texel, one after the other."""
    colours, labels, places, total, uv = [], [], {}, 0, []
    for name, picture in pictures.items():
      places[name] = (total, picture.label.shape[1] + 2)
      colours.append(np.pad(picture.colour, ((1, 1), (1, 1), (0, 0)), mode='edge').reshape(-1, 3))
      labels.append(np.pad(picture.label, 1, mode='edge').reshape(-1))
      total += len(labels[-1])
    self.colours, self.labels = np.concatenate(colours), np.concatenate(labels)
    self._offsets = np.array([places[item.name][0] for item in items])
    self._strides = np.array([places[item.name][1] for item in items])
    self.eye_texels = pictures['eye0'].label.shape[0] / (2 * texture.EYE_REACH)
    for item in items:
      height, width = pictures[item.name].label.shape
      rows, columns = item.points.shape[:2]
      if item.name.startswith('eye'):
        reach = np.array(parts.EYEBALL) * self.eye_texels
        across = width / 2 + reach[0] * (2 * np.arange(columns) / (columns - 1) - 1)
        down = height / 2 + reach[1] * (2 * np.arange(rows) / (rows - 1) - 1)
      else:
        across, down = width * np.arange(columns) / (columns - 1), height * np.arange(rows) / (rows - 1)
      uv.append(np.stack(np.broadcast_arrays(across[None] + 1, down[:, None] + 1), -1).reshape(-1, 2))
    self.uv = np.concatenate(uv)

  def texel(self, triangle: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Returns the place in `colours` and `labels` for texture coordinates inside triangles."""
    place = self._offset[triangle] + v.astype(np.int32) * self._stride[triangle] + u.astype(np.int32)
    return np.clip(place, 0, len(self.labels) - 1)


# Rows of the face where the surface is torn: there a normal looks only to its own side.
_SEAMS = (head.UPPER_LID, head.UPPER_LIP)


def _spread(values, shapes) -> np.ndarray:
  return np.concatenate([np.broadcast_to(v, s).reshape(-1) for v, s in zip(values, shapes, strict=True)]).astype(float)


def _triangles(shape: tuple[int, int], start: int, item: parts.Part) -> np.ndarray:
  """Returns int[count, 3], two triangles a cell, clockwise as seen from the front."""
  index = start + np.arange(shape[0] * shape[1]).reshape(shape)
  if item.name == 'face':
    rows = [row for row in range(shape[0] - 1) if row not in _SEAMS]
  else:
    rows = list(range(shape[0] - 1))
  a, b = index[rows][:, :-1].reshape(-1), index[rows][:, 1:].reshape(-1)
  c, d = a + shape[1], b + shape[1]
  cells = np.concatenate([np.stack([a, b, d], -1), np.stack([a, d, c], -1)])
  return cells[:, ::-1].copy() if item.flip else cells


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


def _detail(side: int) -> int:
  """Texels for each cell of the face: about as many as samples."""
  return max(3, round(side * _SAMPLES * 0.02))


def _shrink(picture: np.ndarray) -> np.ndarray:
  """Averages the samples of each pixel and applies gamma 2, which is exact; float32 linear RGB -> uint8."""
  total = picture[::_SAMPLES, ::_SAMPLES].copy()
  for k in range(1, _SAMPLES * _SAMPLES):
    total += picture[k // _SAMPLES::_SAMPLES, k % _SAMPLES::_SAMPLES]
  return (np.sqrt(total) * np.float32(255 / _SAMPLES) + np.float32(0.5)).astype(np.uint8)
