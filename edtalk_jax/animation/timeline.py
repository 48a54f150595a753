"""How drivers of different lengths share one time line."""

from typing import Literal, get_args

import numpy as np

Extend = Literal['hold', 'pingpong', 'loop']


def extended(length: int, count: int, policy: Extend) -> np.ndarray:
  """Returns which frame of a driver is shown at each of `count` output frames, int64[count].

  A longer driver is cut. A shorter one goes on as the policy says: `hold` keeps its last frame, `loop` starts again,
  `pingpong` plays it backwards and forwards in turn without doubling the end frames (the official demos double them).

  Raises:
    ValueError: if the driver has no frames, or on an unknown policy.
  """
  if length < 1:
    raise ValueError(f'length must be at least 1, got {length}')
  time = np.arange(count)
  if policy == 'hold':
    return np.minimum(time, length - 1)
  if policy == 'loop':
    return time % length
  if policy == 'pingpong':
    period = max(1, 2 * length - 2)
    return np.minimum(time % period, (-time) % period) if length > 1 else np.zeros(count, np.int64)
  raise ValueError(f'policy must be one of {", ".join(get_args(Extend))}, got {policy!r}')


def common_length(lengths: dict[str, int]) -> int:
  """Returns how many frames the drivers of these banks animate: the mouth's, as it carries the sound.

  Without a mouth driver, or where it is a still image (length 1), the longest of all.
  """
  return lengths['mouth'] if lengths.get('mouth', 1) > 1 else max(lengths.values())
