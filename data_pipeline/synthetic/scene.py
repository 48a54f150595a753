"""The parts of a person in common arrays, so that a frame costs the same few operations however many there are."""

import numpy as np

from data_pipeline.synthetic import geometry, head, parts, texture

# Rows of the face where the surface is torn: there a normal looks only to its own side.
SEAMS = (head.UPPER_LID, head.UPPER_LIP)


class Scene:
  """All parts of a person in common arrays over vertices, triangles and texels.

  Args:
    items: the parts; the first is the face, named 'face'.
    pictures: name of a part -> its texture.

  Attributes:
    where: name of a part -> its slice of the vertices.
    points, normals: float64[vertices, 3] at rest.
    follows, jaw, shade, shine: float64[vertices], see `parts.Part`.
    uv: float64[vertices, 2], place in the part's texture in texels, whose border of one texel begins at 0.
    triangles: int[3, count], clockwise as seen from the front.
    nearer: float64[count], see `parts.Part`, for the sum of three depths.
    colours, labels: float32[texels, 3], uint8[texels], all textures one after the other.
    eye_texels: texels for a cm of an iris' picture.
  """

  def __init__(self, items: list[parts.Part], pictures: dict[str, texture.Picture]):
    starts = np.cumsum([0, *(item.points.shape[0] * item.points.shape[1] for item in items)])
    self.where = {item.name: slice(a, b) for item, a, b in zip(items, starts[:-1], starts[1:], strict=True)}
    self.points = np.concatenate([item.points.reshape(-1, 3) for item in items])
    self.normals = np.concatenate(
      [(-1.0 if item.flip else 1.0) * geometry.grid_normals(item.points).reshape(-1, 3) for item in items]
    )
    shapes = [item.points.shape[:2] for item in items]
    self.follows = _spread([item.follows[:, None] for item in items], shapes)
    self.jaw, self.shade, self.shine = (
      _spread([getattr(item, name) for item in items], shapes) for name in ('jaw', 'shade', 'shine')
    )
    self._atlas(items, pictures)
    cells = [_triangles(shape, start, item) for shape, start, item in zip(shapes, starts[:-1], items, strict=True)]
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
      if item.name in parts.EYE_NAMES:
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


def _spread(values, shapes) -> np.ndarray:
  return np.concatenate([np.broadcast_to(v, s).reshape(-1) for v, s in zip(values, shapes, strict=True)]).astype(float)


def _triangles(shape: tuple[int, int], start: int, item: parts.Part) -> np.ndarray:
  """Returns int[count, 3], two triangles a cell, clockwise as seen from the front."""
  index = start + np.arange(shape[0] * shape[1]).reshape(shape)
  if item.name == 'face':
    rows = [row for row in range(shape[0] - 1) if row not in SEAMS]
  else:
    rows = list(range(shape[0] - 1))
  a, b = index[rows][:, :-1].reshape(-1), index[rows][:, 1:].reshape(-1)
  c, d = a + shape[1], b + shape[1]
  cells = np.concatenate([np.stack([a, b, d], -1), np.stack([a, d, c], -1)])
  return cells[:, ::-1].copy() if item.flip else cells
