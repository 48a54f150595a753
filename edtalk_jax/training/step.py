"""One update of both networks, as pure functions."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from edtalk_jax.stages.stage import Images, Stage, Terms
from edtalk_jax.training import guards, trees
from edtalk_jax.training.state import TrainState

Metrics = dict[str, jax.Array]


@flax.struct.dataclass
class Gradients:
  """Of one batch, both at the same parameters.

  Attributes:
    model: gradient of the generator side's trainable part, keyed by path.
    discriminator: gradient of the discriminator, keyed by path.
    metrics: float32 scalars: every loss term, 'loss', 'discriminator_loss' and both gradients' norms.
    images: what the stage painted, without gradient.
  """

  model: trees.Flat
  discriminator: trees.Flat
  metrics: Metrics
  images: Images


def gradients(model: Any, discriminator: Any, frozen: Any, batch: dict[str, jax.Array], *, stage: Stage) -> Gradients:
  """Returns both networks' gradients from one forward pass of the generator.

  The official trainers update the generator, then the discriminator on fakes of the *old* generator scored by the
  *old* discriminator. Neither sees the other's update, so both gradients can be taken before either is applied.

  Args:
    model: parameters of the generator side.
    discriminator: its parameters.
    frozen: parameters that never train, see `Stage`.
    batch: uint8[batch, height, width, 3] images by field name.
    stage: the losses and what trains.
  """
  trainable, fixed = trees.split(model, stage.trainable)

  def model_loss(trainable):
    terms, images = stage.model_losses(trees.unflatten({**trainable, **fixed}), discriminator, frozen, batch)
    loss, metrics = total(terms)
    return loss, ({**metrics, 'loss': loss}, jax.lax.stop_gradient(images))

  model_gradient, (metrics, images) = jax.grad(model_loss, has_aux=True)(trainable)

  def discriminator_loss(flat):
    loss, metrics = total(stage.discriminator_losses(trees.unflatten(flat), images))
    return loss, {**metrics, 'discriminator_loss': loss}

  discriminator_gradient, more = jax.grad(discriminator_loss, has_aux=True)(trees.flatten(discriminator))
  norms = {
    'grad_norm/model': optax.tree.norm(model_gradient),
    'grad_norm/discriminator': optax.tree.norm(discriminator_gradient),
  }
  return Gradients(
    model=model_gradient, discriminator=discriminator_gradient, metrics={**metrics, **more, **norms}, images=images
  )


def apply_gradients(
  state: TrainState,
  found: Gradients,
  *,
  stage: Stage,
  model_optimizer: optax.GradientTransformation,
  discriminator_optimizer: optax.GradientTransformation,
) -> TrainState:
  """Returns the state after one update of both networks."""
  trainable, fixed = trees.split(state.model, stage.trainable)
  trainable, model_moments = _update(model_optimizer, found.model, state.model_moments, trainable)
  discriminator, discriminator_moments = _update(
    discriminator_optimizer, found.discriminator, state.discriminator_moments, trees.flatten(state.discriminator)
  )
  return state.replace(
    step=state.step + 1,
    model=trees.unflatten({**trainable, **fixed}),
    discriminator=trees.unflatten(discriminator),
    model_moments=model_moments,
    discriminator_moments=discriminator_moments,
  )


def train_step(
  state: TrainState,
  frozen: Any,
  batch: dict[str, jax.Array],
  *,
  stage: Stage,
  model_optimizer: optax.GradientTransformation,
  discriminator_optimizer: optax.GradientTransformation,
) -> tuple[TrainState, Metrics]:
  """One fused GAN step: `gradients`, then `apply_gradients`, unless `guards` skips the update. Donate `state`."""
  found = gradients(state.model, state.discriminator, frozen, batch, stage=stage)
  next_state = apply_gradients(
    state, found, stage=stage, model_optimizer=model_optimizer, discriminator_optimizer=discriminator_optimizer
  )
  next_state, skips = guards.skip_unless_finite(state, next_state, found.metrics)
  return next_state, {**found.metrics, **skips}


def validation_step(model: Any, discriminator: Any, frozen: Any, batch: dict[str, jax.Array], *, stage: Stage):
  """The generator side's loss terms on one batch, without an update: float32 scalars by name."""
  loss, metrics = total(stage.model_losses(model, discriminator, frozen, batch)[0])
  return {**metrics, 'loss': loss}


def total(terms: Terms) -> tuple[jax.Array, Metrics]:
  """Averages float32[batch] terms over the global batch and adds them up: the one place where either happens."""
  metrics = {name: jnp.mean(values) for name, values in terms.items()}
  return sum(metrics.values(), jnp.zeros(())), metrics


def _update(optimizer, gradient, moments, params):
  updates, moments = optimizer.update(gradient, moments, params)
  return optax.apply_updates(params, updates), moments
