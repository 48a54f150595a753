"""Statistics over pixels and over the batch, always accumulated in float32."""

import jax
import jax.numpy as jnp

from edtalk_jax.ops.rank import expand_like


def instance_norm(x: jax.Array, eps: float = 1e-5) -> jax.Array:
  """Zero mean and unit (biased) variance over the pixels of each sample and channel.

  Args:
    x: [batch, height, width, channels].
    eps: added to the variance.

  Returns:
    float32[batch, height, width, channels].
  """
  x = x.astype(jnp.float32)
  mean = jnp.mean(x, (1, 2), keepdims=True)
  variance = jnp.mean(jnp.square(x - mean), (1, 2), keepdims=True)
  return (x - mean) * jax.lax.rsqrt(variance + eps)


def stddev_group_size(batch: int, group: int) -> int:
  """Samples per group: the largest number up to `group` that divides `batch`.

  The official code fails where that is neither `group` nor the whole batch.
  """
  return max(size for size in range(1, min(batch, group) + 1) if batch % size == 0)


def minibatch_stddev(x: jax.Array, group: int, views: int = 1) -> jax.Array:
  """Appends one channel: how much the samples of a group differ (ProGAN Sec. 3, StyleGAN2's grouping).

  The batch is the global one, unlike the official code, whose statistic is per device. With all examples' first views
  before all second ones, sample n belongs to slot n mod (batch * views / group), so a group is strided through the
  batch. Nothing is put into that order: on a mesh, only what a group has on several devices is added up over those.

  Args:
    x: [batch * views, height, width, channels], an example's views side by side.
    group: samples per group at most, see `stddev_group_size`.
    views: of each example.

  Returns:
    [batch * views, height, width, channels + 1] in the type of `x`; the statistic comes last.
  """
  count, height, width, channels = x.shape
  batch, slots = count // views, count // stddev_group_size(count, group)
  if batch % slots and slots % batch:  # of odd sizes: put into that order and back
    y = minibatch_stddev(_transpose_leading(x, views), group)
    return _transpose_leading(y, batch)
  # A group has all views of the examples b, b + slots, ..., or, of one example, every so many-th view.
  examples, apart = max(1, batch // slots), max(1, slots // batch)
  y = x.astype(jnp.float32).reshape(examples, batch // examples, views // apart, apart, height, width, channels)
  variance = jnp.mean(jnp.square(y - jnp.mean(y, (0, 2), keepdims=True)), (0, 2), keepdims=True)
  statistic = jnp.mean(jnp.sqrt(variance + 1e-8), (4, 5, 6), keepdims=True)
  statistic = jnp.broadcast_to(statistic, (*y.shape[:4], height, width, 1)).reshape(count, height, width, 1)
  return jnp.concatenate([x, statistic.astype(x.dtype)], -1)


def _transpose_leading(x: jax.Array, inner: int) -> jax.Array:
  """Reorders x[outer * inner, ...] to [inner * outer, ...]."""
  return x.reshape(-1, inner, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)


def batch_statistics(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Mean and biased variance of each channel over all else, the global batch: [..., channels] -> float32[channels]."""
  x = x.astype(jnp.float32).reshape(-1, x.shape[-1])
  mean = jnp.mean(x, 0)
  return mean, jnp.mean(jnp.square(x - mean[None]), 0)


def batch_norm(x: jax.Array, mean: jax.Array, variance: jax.Array, eps: float = 1e-5) -> jax.Array:
  """Normalises the channels of x[..., channels] with the given statistics (Ioffe & Szegedy, 2015), in float32."""
  return (x.astype(jnp.float32) - expand_like(mean, x)) * expand_like(jax.lax.rsqrt(variance + eps), x)
