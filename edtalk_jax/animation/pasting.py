"""The painted face back in the picture that it was cut from, with a soft edge."""

import functools

import numpy as np
from PIL import Image

from edtalk_jax.animation.framing import Square

FEATHER = 0.12  # of the square's side: how far the edge reaches into it


@functools.lru_cache(maxsize=8)
def soft_mask(side: int, inside: tuple[bool, bool, bool, bool], feather: float = FEATHER) -> np.ndarray:
  """Returns how much of the painted square is seen, float32[side, side, 1] in [0, 1].

  0 at its edges and 1 in its middle, in a smooth step between; corners are round, as both directions are multiplied.

  Args:
    side: of the square, in pixels.
    inside: whether its (left, top, right, bottom) edge lies inside the picture. At the picture's own edge there is
      nothing to blend with.
    feather: width of the soft edge over the side.
  """
  left, top, right, bottom = inside
  distance = (np.arange(side) + 0.5) / (feather * side)

  def profile(first: bool, last: bool) -> np.ndarray:
    ramp = np.minimum(distance if first else np.inf, distance[::-1] if last else np.inf)
    ramp = np.clip(np.broadcast_to(ramp, side), 0, 1)
    return ramp * ramp * (3 - 2 * ramp)

  return (profile(top, bottom)[:, None] * profile(left, right)[None]).astype(np.float32)[..., None]


def paste(picture: np.ndarray, square: Square, painted: np.ndarray) -> np.ndarray:
  """Returns a picture with a painted face in it; outside the square every pixel stays what it was.

  Args:
    picture: uint8[height, width, 3].
    square: (left, top, side) in pixels of the picture.
    painted: uint8[size, size, 3], resized to the square (bicubic).
  """
  left, top, side = square
  height, width = picture.shape[:2]
  mask = soft_mask(side, (left > 0, top > 0, left + side < width, top + side < height))
  if len(painted) != side:
    painted = np.asarray(Image.fromarray(painted).resize((side, side), Image.Resampling.BICUBIC))
  result = picture.copy()
  place = result[top : top + side, left : left + side]
  place[:] = np.round(place + mask * (painted.astype(np.float32) - place)).astype(np.uint8)
  return result
