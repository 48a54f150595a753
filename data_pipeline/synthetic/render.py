"""One person's pictures: factors -> image, landmarks and mask."""

import dataclasses

import numpy as np

from data_pipeline.synthetic import exact, factors, geometry, head, parts, raster, texture
from data_pipeline.synthetic.identity import Identity
from data_pipeline.synthetic.landmarks import Landmarks
from data_pipeline.synthetic.scene import SEAMS, Scene

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
    self._scene = Scene([face, *others], texture.paint(person, self._head, others, _detail(side)))
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
      points[scene.where[name]] = points[row * grid[1] : (row + 2) * grid[1]]
    normals = scene.normals.copy()
    normals[:size] = geometry.grid_normals(points[:size].reshape(*grid, 3), SEAMS).reshape(-1, 3)
    turn = geometry.rotation(value['yaw'], value['pitch'], value['roll'])
    points += scene.follows[:, None] * (geometry.rotate(turn, points - _PIVOT) + _PIVOT - points)
    normals += scene.follows[:, None] * (geometry.rotate(turn, normals) - normals)
    screen = self._project(points, value)
    landmarks = self._landmarks.find(screen[:size].reshape(*grid, 2))
    light, shine = self._shade(normals, scene)
    light *= self._lid_shadow(value)
    uv = scene.uv.copy()
    for side in parts.EYE_NAMES:
      uv[scene.where[side]] -= np.array([value['gaze_x'] * _GAZE[0], value['gaze_y'] * _GAZE[1]]) * scene.eye_texels
    image, mask = self._paint(points[:, 2], screen, np.stack([uv[:, 0], uv[:, 1], light, shine]))
    return Frame(image, landmarks.astype(np.float32), mask)

  def _move_face(self, points: np.ndarray, value: dict[str, float]) -> None:
    """Adds the shapes of mouth and expression to the face."""
    upper, lower = self._lids(value)
    amounts = {
      'upper_lid': upper,
      'lower_lid': lower,
      'jaw': value['opening'],
      'wide': value['width'],
      'round': value['rounding'],
      **{name: value[name] for name in factors.EXPRESSION if name in self._moves},
    }
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
    for side, centre in zip(parts.EYE_NAMES, self._head.eyes, strict=True):
      y = self._scene.points[self._scene.where[side], 1] - centre[1]
      light[self._scene.where[side]] = (0.4 + 0.6 * exact.smoothstep((y - upper) / 0.5)) * (
        0.75 + 0.25 * exact.smoothstep((lower - y) / 0.3)
      )
    return light

  def _project(self, points: np.ndarray, value: dict[str, float]) -> np.ndarray:
    """Returns float64[vertices, 2], pixels of the picture."""
    depth = _CAMERA / (_CAMERA - points[:, 2])
    scale = self.side * _PIXELS_PER_CM * value['zoom']
    x = self.side * (_CENTRE[0] + value['shift_x']) + scale * points[:, 0] * depth
    y = self.side * (_CENTRE[1] + value['shift_y']) + scale * (points[:, 1] - _CENTRE[2]) * depth
    return np.stack([x, y], -1) - 0.5

  def _shade(self, normals: np.ndarray, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Returns the light on each vertex (factor of its colour) and the highlight (added)."""
    person = self._person
    lamp = person.light
    towards = normals[:, 0] * lamp[0] + normals[:, 1] * lamp[1] + normals[:, 2] * lamp[2]
    # Skin lets light through, so its terminator is soft.
    soft = np.maximum(0.0, (towards + 0.3) / 1.3)
    sky = 0.8 - 0.2 * normals[:, 1] + 0.2 * normals[:, 2]
    light = scene.shade * (1.25 * person.lamp * soft * (0.4 + 0.6 * soft) + person.ambient * sky)
    half = geometry.unit(lamp + np.array([0.0, 0.0, 1.0]))
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
      p[0][owner] + column * p[1][owner] + row * p[2][owner] for p in raster.planes(x, y, values, triangles[:, shown])
    )
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


def _detail(side: int) -> int:
  """Texels for each cell of the face's grid: about as many as samples."""
  return max(3, round(side * _SAMPLES * 0.015))


def _shrink(picture: np.ndarray) -> np.ndarray:
  """Averages the samples of each pixel and applies gamma 2, which is exact; float32 linear RGB -> uint8."""
  total = picture[::_SAMPLES, ::_SAMPLES].copy()
  for k in range(1, _SAMPLES * _SAMPLES):
    total += picture[k // _SAMPLES :: _SAMPLES, k % _SAMPLES :: _SAMPLES]
  return (np.sqrt(total) * np.float32(255 / _SAMPLES) + np.float32(0.5)).astype(np.uint8)
