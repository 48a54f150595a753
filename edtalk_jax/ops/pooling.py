"""Max-pooling for the VGG19 of the perceptual loss."""

import jax
import jax.numpy as jnp

from edtalk_jax.ops import pairs


def max_pool(x: jax.Array, *, paired: bool = False) -> jax.Array:
  """Largest value of each 2 x 2 block; an odd last row or column is dropped.

  Among equal values the gradient goes to the first in row-major order, as in PyTorch. Selecting between strided views
  says just that, and spares the select-and-scatter that XLA emits for the gradient of `reduce_window`.

  Args:
    x: [batch, height, width, channels].
    paired: whether `x` has its columns in pairs (`ops.pairs`); the result has not.

  Returns:
    [batch, height // 2, width // 2, channels].
  """
  if not paired:
    x = pairs.pair_columns(x[:, :, :x.shape[2] // 2 * 2])
  batch, height, width, channels = x.shape
  left, right = jnp.split(x[:, :height // 2 * 2], 2, axis=-1)
  x = jnp.where(left >= right, left, right).reshape(batch, height // 2, 2, width, channels // 2)
  return jnp.where(x[:, :, 0] >= x[:, :, 1], x[:, :, 0], x[:, :, 1])
