"""What a training run carries from step to step."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from edtalk_jax.training import trees


@flax.struct.dataclass
class TrainState:
  """Everything that changes. Frozen networks (VGG) travel beside it, so that it is what a checkpoint holds.

  Attributes:
    step: int32 scalar, the number of steps made; also the data position.
    model: parameters of the generator side (encoder, navigation, generator).
    discriminator: parameters of the discriminator.
    model_moments: optimiser state of the part of `model` that trains, keyed by path.
    discriminator_moments: optimiser state of `discriminator`, keyed by path.
    skipped: int32 scalar, steps whose update was left out because it was not finite (`guards`).
    skipped_in_row: int32 scalar, how many of these are the last steps made.
  """

  step: jax.Array
  model: dict[str, Any]
  discriminator: dict[str, Any]
  model_moments: Any
  discriminator_moments: Any
  skipped: jax.Array
  skipped_in_row: jax.Array


def create(
  params: dict[str, Any],
  trainable: str,
  model_optimizer: optax.GradientTransformation,
  discriminator_optimizer: optax.GradientTransformation,
) -> TrainState:
  """Returns the state at step 0 for `params` = {'model', 'discriminator'}; `trainable` is a regex on model paths."""
  chosen, _ = trees.split(params['model'], trainable)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    model=params['model'],
    discriminator=params['discriminator'],
    model_moments=model_optimizer.init(chosen),
    discriminator_moments=discriminator_optimizer.init(trees.flatten(params['discriminator'])),
    skipped=jnp.zeros((), jnp.int32),
    skipped_in_row=jnp.zeros((), jnp.int32),
  )
