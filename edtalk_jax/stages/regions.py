"""Eyes, brows and mouth count more than the rest of a picture, where `loss.regions` says so. (Ours.)

They are few pixels and most of what a face does besides turning, and what a network of minutes would learn
last. Other reenactment work weighs eyes and mouths likewise; the official code does not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax.config import LossConfig

POINTS = np.r_[17:27, 36:68]  # of the 68: brows, eyes, mouth
REACH = 0.03  # standard deviation of a landmark's spot, as a share of the picture's side


def asked(loss: LossConfig, targets: Sequence[str]) -> dict[str, Any]:
  """What a stage says of its examples (fields of `Stage`): landmarks of the pictures in `targets`, if they are used."""
  if not loss.regions:
    return {}
  marks = jax.ShapeDtypeStruct((68, 2), np.float32)
  return {'arrays': {f'{name}_landmarks': marks for name in targets}, 'sampling': {'landmarks': True}}


def emphasis(loss: LossConfig, batch: Mapping[str, jax.Array], targets: Sequence[str]) -> jax.Array | None:
  """How much each pixel of the targets counts in L1: float32[batch, targets, size, size, 1]; None: all alike.

  1 + loss.regions * min(1, sum over points p of exp(-|x - p|^2 / (2 (REACH size)^2))). Points that were not found are
  infinitely far away.
  """
  if not loss.regions:
    return None
  size = batch[targets[0]].shape[-2]
  points = jnp.stack([batch[f'{name}_landmarks'] for name in targets], axis=1)[:, :, POINTS]
  # exp(-|x - p|^2) is a product of both axes: [batch, targets, points, 2, size]
  spots = jnp.exp(-0.5 * ((jnp.arange(size)[None, None, None, None] - points[..., None]) / (REACH * size)) ** 2)
  return 1 + loss.regions * jnp.minimum(1, jnp.einsum('btpx,btpy->btyx', spots[..., 0, :], spots[..., 1, :]))[..., None]
