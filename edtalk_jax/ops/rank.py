"""Explicit broadcasting, since ranks are never promoted silently (`jax_numpy_rank_promotion`)."""

import jax


def expand_like(values: jax.Array, x: jax.Array) -> jax.Array:
  """`values`[..., channels] with leading axes of size 1, as many axes as `x`[batch, ..., channels] in all."""
  return jax.lax.broadcast_to_rank(values, x.ndim)
