"""Max-pooling for the VGG19 of the perceptual loss."""

import jax
import jax.numpy as jnp

from edtalk_jax.ops import pairs


def max_pool(x: jax.Array) -> jax.Array:
  """Largest value of each 2 x 2 block; an odd last row or column is dropped.

  Among equal values the gradient goes to the first in row-major order, as in PyTorch. Selecting between strided views
  says just that, and spares the select-and-scatter that XLA emits for the gradient of `reduce_window`.

  Args:
    x: [batch, height, width, channels].

  Returns:
    [batch, height // 2, width // 2, channels].
  """
  batch, height, width, channels = x.shape
  x = x[:, :height // 2 * 2, :width // 2 * 2]
  if pairs.narrow(channels):
    # Halves of pairs, which the convolution before computes: nothing moves between the two (`ops.pairs`).
    left, right = jnp.split(pairs.pair_columns(x), 2, axis=-1)
  else:
    x = x.reshape(batch, height // 2 * 2, width // 2, 2, channels)
    left, right = x[..., 0, :], x[..., 1, :]
  x = jnp.where(left >= right, left, right).reshape(batch, height // 2, 2, width // 2, channels)
  return jnp.where(x[:, :, 0] >= x[:, :, 1], x[:, :, 0], x[:, :, 1])
