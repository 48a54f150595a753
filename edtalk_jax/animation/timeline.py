"""How drivers of different lengths and rates share one time line."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import scipy.ndimage

from edtalk_jax.model import Motion

Extend = Literal['hold', 'pingpong', 'loop', 'stop']


def extended(length: int, count: int, policy: Extend, first: int = 0) -> np.ndarray:
  """Returns which frame of a driver is shown at each of `count` output frames from the `first` on, int64[count].

  A longer driver is cut. A shorter one goes on as the policy says: `hold` keeps its last frame, `loop` starts again,
  `pingpong` plays it backwards and forwards in turn without doubling the end frames (the official demos double them).
  With `stop` no moving driver is shorter (`common_length`); stills are held.

  Raises:
    ValueError: if the driver has no frames, or on an unknown policy.
  """
  if length < 1:
    raise ValueError(f'length must be at least 1, got {length}')
  time = np.arange(first, first + count)
  if policy in ('hold', 'stop'):
    return np.minimum(time, length - 1)
  if policy == 'loop':
    return time % length
  if policy == 'pingpong':
    period = max(1, 2 * length - 2)
    return np.minimum(time % period, (-time) % period) if length > 1 else np.zeros(count, np.int64)
  raise ValueError(f'policy must be one of {", ".join(get_args(Extend))}, got {policy!r}')


def common_length(lengths: Mapping[str, int], policy: Extend = 'hold', sources: Sequence[int] = ()) -> int:
  """Returns how many frames are painted.

  As many as the mouth's driver has, as it carries the sound; without one, or where it is a still image (length 1), as
  the longest driver; if all are still, as the longest source. With `stop`, as the shortest of all that moves.

  Args:
    lengths: bank name -> frames of its driver.
    policy: how shorter ones go on.
    sources: frames of each source that is a video.
  """
  moving = [length for length in lengths.values() if length > 1]
  if policy == 'stop':
    return min([*moving, *sources], default=1)
  if lengths.get('mouth', 1) > 1:
    return lengths['mouth']
  return max(moving or sources, default=1)


def resampled(motion: Motion, fps: float, wanted: float) -> Motion:
  """Returns motion of `fps` frames per second at `wanted` ones, interpolated linearly; itself where both are equal.

  Frame k is at k / fps seconds; output frames later than the last one are left out.
  """
  if fps == wanted:
    return motion

  def one(values):
    # A frame that falls on the last one but for rounding is kept.
    count = int(np.floor((len(values) - 1) / fps * wanted + 1e-6)) + 1
    position = np.minimum(np.arange(count) / wanted * fps, len(values) - 1)
    before = np.minimum(position.astype(int), max(0, len(values) - 2))
    after = np.minimum(before + 1, len(values) - 1)
    share = (position - before)[:, None]
    return ((1 - share) * values[before] + share * values[after]).astype(np.float32)

  return {bank: one(values) for bank, values in motion.items()}


def smoothed(motion: Motion, sigma: float) -> Motion:
  """Smooths weights in time by a Gaussian of `sigma` frames; 0 leaves them as they are.

  Beyond both ends the first and the last frame go on, so that a steady motion stays what it is. (The official code
  takes zeros there, which draws the ends of a steady mouth to 73 %.)
  """
  if not sigma:
    return motion
  return {
    bank: scipy.ndimage.gaussian_filter1d(np.asarray(values, np.float32), sigma, axis=0, mode='nearest')
    for bank, values in motion.items()
  }
