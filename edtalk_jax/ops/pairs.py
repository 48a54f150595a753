"""Feature maps with their columns in pairs: [batch, height, width / 2, 2 * channels].

A TPU computes and stores 128 channels at a time. Maps with 64 or fewer, the largest of the networks, leave half of it
empty, in matrix units and in memory. Side by side, two columns fill it; a kernel for pairs has zeros in it, but costs
less than half of what half-empty units do (docs/performance.md). On other backends pairs cost nothing: in row-major
memory they are the same numbers in the same order.
"""

import jax
import jax.numpy as jnp

_LANES = 128


def narrow(channels: int) -> bool:
  """Whether maps of so many channels should have their columns in pairs."""
  return 2 * channels <= _LANES


def pair_columns(x: jax.Array) -> jax.Array:
  """[batch, height, width, channels] with an even width -> [batch, height, width / 2, 2 * channels]."""
  return x.reshape(*x.shape[:2], x.shape[2] // 2, 2 * x.shape[3])


def split_columns(x: jax.Array) -> jax.Array:
  """[batch, height, width / 2, 2 * channels] -> [batch, height, width, channels]."""
  return x.reshape(*x.shape[:2], 2 * x.shape[2], x.shape[3] // 2)


def of_pairs(values: jax.Array) -> jax.Array:
  """What belongs to channels, [..., channels], for the channels of pairs, [..., 2 * channels]."""
  return jnp.concatenate([values, values], -1)


def kernel_of_pairs(kernel: jax.Array, before: int, stride: int) -> jax.Array:
  """The kernel that does to pairs what `kernel` does to columns: three taps wide, its second at the pair itself.

  Args:
    kernel: [rows, columns, in, out]; tap k of output column i meets column stride * i + k - before. All are within the
      pair and its neighbours.
    before: as above.
    stride: 1 gives pairs of output columns, 2 single ones.

  Returns:
    [rows, 3, 2 * in, out], or 2 * out with stride 1.
  """
  rows, columns, channels, features = kernel.shape

  def one(output):
    left = 2 + output - before
    six = jnp.pad(kernel, ((0, 0), (left, 6 - columns - left), (0, 0), (0, 0)))
    return six.reshape(rows, 3, 2 * channels, features)

  return one(0) if stride == 2 else jnp.concatenate([one(0), one(1)], -1)
