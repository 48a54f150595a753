"""Invertible maps of sequences and the logarithms of their volume changes: the parts of a normalising flow.

After Glow (Kingma & Dhariwal, 2018), along time in place of space. Sequences are x[batch, frames, channels]. Each map
returns (y, change), where change is log |det dy/dx| of one frame: a scalar, or float32[batch, frames] where frames
differ. Frames meet only in the network of a coupling, which reads what the coupling leaves as it is.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from edtalk_jax.ops.rank import expand_like

Array = jax.Array

_EXACT = jax.lax.Precision.HIGHEST  # a mixing that is undone must not be rounded to bfloat16


def actnorm(x: Array, log_scale: Array, shift: Array) -> tuple[Array, Array]:
  """(x + shift) * exp(log_scale), per channel."""
  return (x + expand_like(shift, x)) * expand_like(jnp.exp(log_scale), x), jnp.sum(log_scale)


def actnorm_inverse(y: Array, log_scale: Array, shift: Array) -> Array:
  """The inverse of `actnorm`."""
  return y * expand_like(jnp.exp(-log_scale), y) - expand_like(shift, y)


def moments(x: Array, valid: Array) -> tuple[Array, Array]:
  """Mean and standard deviation per channel of x[batch, frames, channels] over the frames valid[batch, frames]."""
  weight = valid[..., None] / jnp.maximum(jnp.sum(valid), 1)
  mean = jnp.sum(weight * x, (0, 1))
  return mean, jnp.sqrt(jnp.sum(weight * (x - expand_like(mean, x)) ** 2, (0, 1)))


def actnorm_start(x: Array, valid: Array, least: float = 1e-4) -> tuple[Array, Array]:
  """The (log_scale, shift) that give the valid frames of x mean 0 and variance 1 per channel (Glow, Sec. 3.1).

  A channel whose standard deviation is less than `least` is taken to have that.
  """
  mean, deviation = moments(x, valid)
  return -jnp.log(jnp.maximum(deviation, least)), -mean


@functools.cache
def rotation(channels: int, seed: int) -> dict[str, np.ndarray]:
  """A random rotation W = P (I + lower) (diag(sign * exp(log_diagonal)) + upper), in these parts, float32.

  'permutation' (P) and 'sign' never change while the others train (Glow, Sec. 3.2): a function of `seed`, they are part
  of the architecture and no parameters.
  """
  drawn, triangle = np.linalg.qr(np.random.default_rng((seed, channels)).standard_normal((channels, channels)))
  permutation, lower, upper = scipy.linalg.lu(drawn * np.sign(np.diag(triangle)))
  diagonal = np.diag(upper)
  parts = {
    'permutation': permutation,
    'sign': np.sign(diagonal),
    'lower': np.tril(lower, -1),
    'upper': np.triu(upper, 1),
    'log_diagonal': np.log(np.abs(diagonal)),
  }
  return {name: part.astype(np.float32) for name, part in parts.items()}


def mix(x: Array, parts: dict[str, Array]) -> tuple[Array, Array]:
  """x @ W over the channels of each frame, with W in the parts of `rotation`."""
  left, right = _factors(parts)
  return _times(_times(_times(x, parts['permutation']), left), right), jnp.sum(parts['log_diagonal'])


def mix_inverse(y: Array, parts: dict[str, Array]) -> Array:
  """The inverse of `mix`, without inverting a matrix."""
  left, right = _factors(parts)
  solve = functools.partial(jax.scipy.linalg.solve_triangular, trans='T')
  flat = y.reshape(-1, y.shape[-1]).T
  flat = solve(left, solve(right, flat), lower=True, unit_diagonal=True)
  return _times(flat.T.reshape(y.shape), parts['permutation'].T)


def _factors(parts: dict[str, Array]) -> tuple[Array, Array]:
  diagonal = parts['sign'] * jnp.exp(parts['log_diagonal'])
  return jnp.tril(parts['lower'], -1) + jnp.eye(len(diagonal)), jnp.triu(parts['upper'], 1) + jnp.diag(diagonal)


def _times(x: Array, matrix: Array) -> Array:
  return jnp.matmul(x, matrix, precision=_EXACT)


def couple(x: Array, log_scale: Array, shift: Array) -> tuple[Array, Array]:
  """(x + shift) * exp(log_scale), where both, [batch, frames, channels], follow from channels that are not in x."""
  return (x + shift) * jnp.exp(log_scale), jnp.sum(log_scale, -1)


def couple_inverse(y: Array, log_scale: Array, shift: Array) -> Array:
  """The inverse of `couple`."""
  return y * jnp.exp(-log_scale) - shift


def predictor_start(x: Array, valid: Array, ridge: float = 1e-5, largest: float = 0.998) -> Array:
  """The linear prediction of a frame from the two before it, by least squares over the valid frames: [2, c, c].

  So that sequences of any length stay near the data, its slowest mode decays by `largest` a frame.
  """
  channels = x.shape[-1]
  past, now = jnp.concatenate([x[:, 1:-1], x[:, :-2]], -1), x[:, 2:]
  weight = valid[:, 2:, None] / jnp.maximum(jnp.sum(valid[:, 2:]), 1)
  gram = jnp.einsum('bti,btj->ij', weight * past, past) + ridge * jnp.eye(2 * channels)
  found = jnp.linalg.solve(gram, jnp.einsum('bti,btj->ij', weight * past, now)).reshape(2, channels, channels)
  below = jnp.concatenate([jnp.eye(channels), jnp.zeros((channels, channels))], 1)
  step = jnp.concatenate([jnp.concatenate([found[0].T, found[1].T], 1), below])  # of (now, before)
  shrink = jnp.minimum(1.0, largest / _radius(step))
  return found * jnp.array([shrink, shrink**2])[:, None, None]


def _radius(matrix: Array, squarings: int = 10) -> Array:
  """Spectral radius, from the norm of matrix^1024, which is kept at 1 on the way."""
  log_norm = jnp.zeros(())
  for power in range(squarings):
    norm = jnp.maximum(jnp.linalg.norm(matrix), 1e-30)
    log_norm, matrix = log_norm + jnp.log(norm) / 2**power, (matrix / norm) @ (matrix / norm)
  return jnp.exp(log_norm + jnp.log(jnp.maximum(jnp.linalg.norm(matrix), 1e-30)) / 2**squarings)


def innovations(x: Array, predictor: Array) -> Array:
  """What a linear prediction from the two frames before leaves unexplained: [batch, frames, c] -> [.., frames - 1, c].

  Frame -1 is taken to be frame 0. Given frame 0, this changes no volume: each frame is only shifted by earlier ones.
  """
  before = jnp.concatenate([x[:, :1], x[:, :-2]], 1)
  return x[:, 1:] - x[:, :-1] @ predictor[0] - before @ predictor[1]


def compose(found: Array, predictor: Array, first: Array) -> Array:
  """The inverse of `innovations`: frames 1, 2, ... after first[batch, c]."""

  def step(past, innovation):
    now, before = past
    after = now @ predictor[0] + before @ predictor[1] + innovation
    return (after, now), after

  return jnp.moveaxis(jax.lax.scan(step, (first, first), jnp.moveaxis(found, 1, 0))[1], 0, 1)


def normal_log_density(z: Array) -> Array:
  """log N(z; 0, I) over the last axis."""
  return -0.5 * jnp.sum(z**2 + math.log(2 * math.pi), -1)


def temporal_conv(x: Array, kernel: Array, dilation: int = 1) -> Array:
  """Convolution along frames that sees as far back as ahead, zeros beyond both ends: one matrix product.

  Args:
    x: [batch, frames, in].
    kernel: [size, in, out], size odd.
    dilation: frames between its taps.
  """
  size, frames = len(kernel), x.shape[1]
  reach = dilation * (size // 2)
  padded = jnp.pad(x, ((0, 0), (reach, reach), (0, 0)))
  taps = [padded[:, k * dilation : k * dilation + frames] for k in range(size)]
  return jnp.concatenate(taps, -1) @ kernel.reshape(-1, kernel.shape[-1])
