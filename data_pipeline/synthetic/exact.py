"""Arithmetic that gives the same bits on every machine.

IEEE 754 fixes +, -, *, / and square root, and NumPy applies them one at a time; it fixes neither sine and exponential
(NumPy picks a kernel by processor) nor the order of a sum. So here these functions are polynomials of their own, sums
are written out, and random numbers come from Philox's raw integers, whose stream NumPy promises never to change.
"""

import hashlib

import numpy as np

PI = 3.141592653589793
_LN2 = 0.6931471805599453
_SINE = (1.0, -1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800, 1 / 6227020800, -1 / 1307674368000)
_EXPONENTIAL = (1.0, 1.0, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040, 1 / 40320, 1 / 362880)


def sin(x) -> np.ndarray:
  """Sine of radians, float64, to 1e-10 for |x| < 1e5."""
  x = np.asarray(x, np.float64)
  x = x - 2 * PI * np.rint(x / (2 * PI))
  x = np.where(x > PI / 2, PI - x, np.where(x < -PI / 2, -PI - x, x))
  return x * _polynomial(_SINE, x * x)


def cos(x) -> np.ndarray:
  """Cosine of radians, float64, as accurate as `sin`."""
  return sin(np.asarray(x, np.float64) + PI / 2)


def exp(x) -> np.ndarray:
  """Exponential, float64, to 1e-10 relative."""
  x = np.asarray(x, np.float64)
  power = np.rint(x / _LN2)
  return np.ldexp(_polynomial(_EXPONENTIAL, x - power * _LN2), power.astype(np.int64))


def _polynomial(coefficients, x: np.ndarray) -> np.ndarray:
  total = np.full_like(x, coefficients[-1])
  for coefficient in coefficients[-2::-1]:
    total = total * x + coefficient
  return total


def interpolate(x, knots, values) -> np.ndarray:
  """Piecewise linear interpolation, constant outside; `np.interp` in a fixed order of operations."""
  x, knots, values = (np.asarray(a, np.float64) for a in (x, knots, values))
  right = np.clip(np.searchsorted(knots, x, side='right'), 1, len(knots) - 1)
  t = np.clip((x - knots[right - 1]) / (knots[right] - knots[right - 1]), 0.0, 1.0)
  return values[right - 1] + t * (values[right] - values[right - 1])


def smoothstep(x) -> np.ndarray:
  """Rises from 0 at x = 0 to 1 at x = 1 with level ends."""
  x = np.clip(x, 0.0, 1.0)
  return x * x * (3 - 2 * x)


def bump(x, y, centre: tuple[float, float], radii: tuple[float, float]) -> np.ndarray:
  """A smooth hill of height 1 over an ellipse, 0 outside it."""
  dx, dy = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1]
  inside = np.maximum(0.0, 1 - dx * dx - dy * dy)
  return inside * inside


class Stream:
  """Random numbers named by a seed and words, e.g. `Stream(0, 'clip', 3)`: independent of every other stream.

  Args:
    seed: of the data set, any integer.
    *name: what the numbers are for; words without '/', and integers.
  """

  def __init__(self, seed: int, *name: str | int):
    parts = [str(int(seed)), *(part if isinstance(part, str) else str(int(part)) for part in name)]
    digest = hashlib.sha256('/'.join(parts).encode()).digest()
    self._bits = np.random.Philox(key=np.frombuffer(digest[:16], '<u8').astype(np.uint64))

  def uniform(self, low: float = 0.0, high: float = 1.0, count: int | None = None) -> np.ndarray:
    """Returns float64 in [low, high): a number, or an array of `count`."""
    raw = self._bits.random_raw(1 if count is None else count)
    values = low + (high - low) * ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53)
    return float(values[0]) if count is None else values

  def bell(self, spread: float = 1.0, count: int | None = None) -> np.ndarray:
    """Returns nearly normal float64 of standard deviation `spread`, never beyond 3.5 of them (four uniforms)."""
    size = 1 if count is None else count
    a, b, c, d = (self.uniform(-1.0, 1.0, size) for _ in range(4))
    values = (a + b + c + d) * (spread * 0.8660254037844386)
    return float(values[0]) if count is None else values

  def integer(self, count: int) -> int:
    """Returns an integer in [0, count)."""
    return int(self.uniform() * count)
