"""The mouth swap: one face carrying another's mouth (EDTalk Sec. 3.2; official code, `get_IA_MB` of the HDTF dataset).

Everything is NumPy on single uint8 images. Distances that the official code gives in pixels of a 256-pixel
frame scale with the image.
"""

import numpy as np

_OFFICIAL_SIDE = 256  # pixels
_MARGIN = 5.0  # pixels at 256 around the mouth's landmarks
_EYES = (slice(36, 42), slice(42, 48))
_INNER_MOUTH = slice(60, 68)
_MOUTH = slice(48, 68)


def swap_mouth(
  source: np.ndarray, source_landmarks: np.ndarray, target: np.ndarray, target_landmarks: np.ndarray, canvas: int = 0
) -> np.ndarray:
  """Returns `target` with the mouth of `source` pasted over its own, as an unblended rectangle.

  Args:
    source, target: uint8[side, side, 3].
    source_landmarks, target_landmarks: float[68, 2], pixels of those images.
    canvas: 0 warps onto the whole frame (ours); 224 reproduces the official code, which warps 256-pixel frames onto a
      224-pixel canvas and so fills a mouth beyond it with black. In pixels at 256, scaled with the image.
  """
  side = target.shape[0]
  if source.shape != target.shape or target.shape != (side, side, 3):
    raise ValueError(f'source and target must be equal squares [side, side, 3], got {source.shape}, {target.shape}')
  matrix = align_mouth(source_landmarks, target_landmarks)
  left, top, right, bottom = box = mouth_box(target_landmarks, side)
  patch = _warp_box(source, matrix, box)
  if canvas:
    limit = round(canvas * side / _OFFICIAL_SIDE)
    patch[max(0, limit - top) :] = 0
    patch[:, max(0, limit - left) :] = 0
  result = target.copy()
  x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, side), min(bottom, side)
  if x0 < x1 and y0 < y1:
    result[y0:y1, x0:x1] = patch[y0 - top : y1 - top, x0 - left : x1 - left]
  return result


def anchors(landmarks: np.ndarray) -> np.ndarray:
  """Returns float64[3, 2]: the centres of both eyes and of the inner mouth."""
  points = np.asarray(landmarks, np.float64)
  return np.stack([points[part].mean(axis=0) for part in (*_EYES, _INNER_MOUTH)])


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
  """Returns the float64[2, 3] least-squares similarity (scale, rotation, shift) from source[n, 2] to target[n, 2].

  The closed form of Umeyama (1991) for the plane, where the optimal scaled rotation is a complex number. Unlike
  scikit-image it cannot return a reflection, which three non-degenerate anchors of a face never need.
  """
  a = source - source.mean(axis=0)
  b = target - target.mean(axis=0)
  cosine = (a * b).sum()
  sine = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()
  linear = np.array([[cosine, -sine], [sine, cosine]]) / (a**2).sum()
  return np.concatenate([linear, (target.mean(axis=0) - linear @ source.mean(axis=0))[:, None]], axis=1)


def align_mouth(source_landmarks: np.ndarray, target_landmarks: np.ndarray) -> np.ndarray:
  """Returns the float64[2, 3] similarity of the anchors, shifted so that the mouth anchors coincide exactly."""
  source, target = anchors(source_landmarks), anchors(target_landmarks)
  matrix = similarity(source, target)
  matrix[:, 2] += target[2] - (matrix[:, :2] @ source[2] + matrix[:, 2])
  return matrix


def mouth_box(landmarks: np.ndarray, side: int = _OFFICIAL_SIDE) -> tuple[int, int, int, int]:
  """Returns (left, top, right, bottom) around the mouth's landmarks; truncated towards zero like the official int()."""
  margin = _MARGIN * side / _OFFICIAL_SIDE
  mouth = np.asarray(landmarks, np.float64)[_MOUTH]
  low, high = mouth.min(axis=0) - margin, mouth.max(axis=0) + margin
  return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _warp_box(image: np.ndarray, matrix: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
  """Warps `image` by the forward matrix, bilinear with zeros outside, and returns only the pixels of `box`."""
  left, top, right, bottom = box
  width, height = max(right - left, 1), max(bottom - top, 1)
  inverse = np.linalg.inv(np.vstack([matrix, (0.0, 0.0, 1.0)]))
  x, y = np.arange(left, left + width) + 0.0, np.arange(top, top + height) + 0.0
  columns = inverse[0, 0] * x[None] + (inverse[0, 1] * y + inverse[0, 2])[:, None]
  rows = inverse[1, 0] * x[None] + (inverse[1, 1] * y + inverse[1, 2])[:, None]
  return _sample(image, columns, rows)


def _sample(image: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
  """Bilinear samples at pixel coordinates [h, w]; zero outside. Returns uint8[h, w, 3], rounded."""
  side = image.shape[0]
  # One ring of zeros makes the border blend towards black, as OpenCV's constant border does.
  x0, y0 = max(0, int(columns.min())), max(0, int(rows.min()))
  x1, y1 = min(side, int(columns.max()) + 2), min(side, int(rows.max()) + 2)
  if x0 >= x1 or y0 >= y1:
    return np.zeros((*columns.shape, 3), np.uint8)
  padded = np.zeros((y1 - y0 + 2, x1 - x0 + 2, 3), np.float32)
  padded[1:-1, 1:-1] = image[y0:y1, x0:x1]
  # Clipped to the ring: what lies further out is zero as well.
  columns = np.clip(columns - (x0 - 1), 0, padded.shape[1] - 1.001)
  rows = np.clip(rows - (y0 - 1), 0, padded.shape[0] - 1.001)
  left, top = columns.astype(np.int32), rows.astype(np.int32)
  u = (columns - left).astype(np.float32)[..., None]
  v = (rows - top).astype(np.float32)[..., None]
  upper = padded[top, left] * (1 - u) + padded[top, left + 1] * u
  lower = padded[top + 1, left] * (1 - u) + padded[top + 1, left + 1] * u
  return (upper * (1 - v) + lower * v + 0.5).astype(np.uint8)
