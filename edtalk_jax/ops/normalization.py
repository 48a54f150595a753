"""Statistics over pixels and over the batch, always accumulated in float32."""

import jax
import jax.numpy as jnp


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


def minibatch_stddev(x: jax.Array, group: int) -> jax.Array:
  """Appends one channel: how much the samples of a group differ (ProGAN Sec. 3, StyleGAN2's grouping).

  The batch is the global one, unlike the official code, whose statistic is per device. Sample n belongs to slot
  n mod (batch / group), so a group is strided through the batch.

  Args:
    x: [batch, height, width, channels].
    group: samples per group at most, see `stddev_group_size`.

  Returns:
    [batch, height, width, channels + 1] in the type of `x`; the statistic comes last.
  """
  batch, height, width, channels = x.shape
  group = stddev_group_size(batch, group)
  slots = batch // group
  y = x.astype(jnp.float32).reshape(group, slots, height, width, channels)
  variance = jnp.mean(jnp.square(y - jnp.mean(y, 0)), 0)
  statistic = jnp.mean(jnp.sqrt(variance + 1e-8), (1, 2, 3))
  statistic = jnp.broadcast_to(jnp.tile(statistic, group)[:, None, None, None], (batch, height, width, 1))
  return jnp.concatenate([x, statistic.astype(x.dtype)], -1)


def batch_statistics(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Mean and biased variance of each channel over all else, the global batch: [..., channels] -> float32[channels]."""
  x = x.astype(jnp.float32).reshape(-1, x.shape[-1])
  mean = jnp.mean(x, 0)
  return mean, jnp.mean(jnp.square(x - mean), 0)


def batch_norm(x: jax.Array, mean: jax.Array, variance: jax.Array, eps: float = 1e-5) -> jax.Array:
  """Normalises the channels of x[..., channels] with the given statistics (Ioffe & Szegedy, 2015), in float32."""
  return (x.astype(jnp.float32) - mean) * jax.lax.rsqrt(variance + eps)
