"""Head pose made up for a sound: samples of a pose flow, of any length."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax.networks.pose_flow import PoseFlow

TEMPERATURE = 0.7  # of the noise; 1 moves as much as the data, 0 is one pose for one sound
CHUNK = 512  # frames made at a time


def sample(
  module: PoseFlow,
  params: Any,
  sound: np.ndarray,
  first: np.ndarray,
  seed: int = 0,
  *,
  temperature: float = TEMPERATURE,
  chunk: int = CHUNK,
) -> np.ndarray:
  """Returns pose weights float32[frames, size] for the sound, whose first frame is `first`.

  Frame t's noise is a function of seed and t. A frame depends on `module.reach` frames before and after it, so chunks
  that overlap by as many give what the whole would, up to the rounding of matrix products of another length.

  Args:
    module: the flow.
    params: its parameters.
    sound: float32[frames, features], what it hears of each frame.
    first: float32[size] pose weights, as of the source picture.
    seed: of the sample.
    temperature: standard deviation of the noise.
    chunk: frames made at a time.
  """
  if not len(sound):
    return np.zeros((0, len(first)), np.float32)
  sound = sound[1:]  # the first frame is given
  count, reach = len(sound), module.reach
  width = count if count <= chunk else chunk + 2 * reach
  made = []
  for begin in range(0, count, chunk):
    low, high = max(0, begin - reach), min(count, begin + chunk + reach)
    if width == count:
      low, high = 0, count
    heard = np.zeros((1, width, sound.shape[1]), np.float32)
    heard[0, :high - low] = sound[low:high]
    piece = _piece(params, heard, np.asarray(first, np.float32)[None], seed, low, high - low, temperature, module)
    made.append(np.asarray(piece)[begin - low:min(begin + chunk, count) - low])
  found = np.concatenate([np.zeros((0, len(first)), np.float32), *made])
  return np.asarray(_composed(params, found, np.asarray(first, np.float32), module))


@functools.partial(jax.jit, static_argnames='module')
def _composed(params, found, first, module):
  """Weights of all frames, of which the first is given, from what is left of the others."""
  apply = functools.partial(module.apply, {'params': params})
  later = apply(found[None], apply(first, method='standardise')[None], method='compose')
  return jnp.concatenate([first[None], apply(later[0], method='restore')])


@functools.partial(jax.jit, static_argnames='module')
def _piece(params, heard, first, seed, low, length, temperature, module):
  """What linear prediction leaves of `length` frames from `low` on, as if nothing were beyond them."""
  width = heard.shape[1]
  apply = functools.partial(module.apply, {'params': params})
  valid = (jnp.arange(width) < length)[None]
  z = temperature * noise(seed, low, width, module.channels)[None]
  known = apply(heard, apply(first, method='standardise'), valid, method='known')
  return apply(z, known, valid, method='inverse')[0]


def noise(seed: jax.Array | int, begin: jax.Array | int, count: int, channels: int) -> jax.Array:
  """Standard normal float32[count, channels] of frames [begin, begin + count), each frame's from a key of its own."""
  keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(begin + jnp.arange(count))
  return jax.vmap(lambda key: jax.random.normal(key, (channels,)))(keys)
