"""What a training run carries from step to step."""

from collections.abc import Sequence
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
    ema: the average of `model` (`average`); empty if none is kept.
    regularisers: float32 scalars that the regularisers (`regularisation`) go on from or last measured, by metric name;
      empty if none runs.
  """

  step: jax.Array
  model: dict[str, Any]
  discriminator: dict[str, Any]
  model_moments: Any
  discriminator_moments: Any
  skipped: jax.Array
  skipped_in_row: jax.Array
  ema: dict[str, Any] = flax.struct.field(default_factory=dict)
  regularisers: dict[str, jax.Array] = flax.struct.field(default_factory=dict)

  @property
  def shown(self) -> dict[str, Any]:
    """The generator side's parameters for everything but training: the average if there is one."""
    return self.ema or self.model


def create(
  params: dict[str, Any],
  trainable: str,
  model_optimizer: optax.GradientTransformation,
  discriminator_optimizer: optax.GradientTransformation,
  *,
  ema: bool = False,
  regularisers: Sequence[str] = (),
) -> TrainState:
  """Returns the state at step 0.

  Args:
    params: {'model', 'discriminator'}.
    trainable: regular expression on the paths of 'model'.
    model_optimizer: of the part that trains.
    discriminator_optimizer: of the discriminator.
    ema: whether an average is kept; it starts from the parameters.
    regularisers: names of the numbers that regularisers keep.
  """
  chosen, _ = trees.split(params['model'], trainable)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    model=params['model'],
    discriminator=params['discriminator'],
    model_moments=model_optimizer.init(chosen),
    discriminator_moments=discriminator_optimizer.init(trees.flatten(params['discriminator'])),
    skipped=jnp.zeros((), jnp.int32),
    skipped_in_row=jnp.zeros((), jnp.int32),
    # Copies: a buffer must not be donated twice.
    ema=jax.tree.map(jnp.copy, params['model']) if ema else {},
    regularisers={name: jnp.zeros(()) for name in regularisers},
  )
