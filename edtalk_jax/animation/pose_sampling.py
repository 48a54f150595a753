"""Head pose made up for a sound: samples of a pose flow, of any length."""

import functools
import itertools
from collections.abc import Iterable, Iterator
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
  sound: np.ndarray | Iterable[np.ndarray],
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
    sound: float32[frames, features], what it hears of each frame; or pieces of it, of which a chunk is held at a time.
    first: float32[size] pose weights, as of the source picture.
    seed: of the sample.
    temperature: standard deviation of the noise.
    chunk: frames made at a time.
  """
  pieces = filter(len, [sound] if isinstance(sound, np.ndarray) else sound)
  begun = next(pieces, None)
  first = np.asarray(first, np.float32)
  if begun is None:
    return np.zeros((0, len(first)), np.float32)
  made = [np.zeros((0, len(first)), np.float32)]
  # The first frame is given.
  for low, begin, end, length, heard in _chunks(itertools.chain([begun[1:]], pieces), chunk, module.reach):
    piece = _piece(params, heard[None], first[None], seed, low, length, temperature, module)
    made.append(np.asarray(piece)[begin - low : end - low])
  return np.asarray(_composed(params, np.concatenate(made), first, module))


def _chunks(pieces: Iterator[np.ndarray], chunk: int, reach: int) -> Iterator[tuple[int, int, int, int, np.ndarray]]:
  """Cuts sound that comes in pieces into chunks with `reach` frames before and after.

  Yields:
    (low, begin, end, length, heard): frames [begin, end) of the chunk, of whose sound [low, low + length) is heard,
    padded to one width: that of the sound if it is not longer than a chunk.
  """
  held, low, begin, ended = next(pieces), 0, 0, False
  while True:
    while not ended and low + len(held) < begin + chunk + reach:
      piece = next(pieces, None)
      held, ended = (held, True) if piece is None else (np.concatenate([held, piece]), False)
    known = low + len(held)
    if known <= begin:
      return
    held, low = held[max(0, begin - reach) - low :], max(0, begin - reach)
    length = min(known, begin + chunk + reach) - low
    width = known if ended and known <= chunk else chunk + 2 * reach
    heard = np.zeros((width, held.shape[1]), np.float32)
    heard[:length] = held[:length]
    yield low, begin, min(begin + chunk, known), length, heard
    begin += chunk


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
