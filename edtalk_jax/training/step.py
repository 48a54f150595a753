"""One update of both networks, as a pure function."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import trees
from edtalk_jax.training.state import TrainState

Metrics = dict[str, jax.Array]


def train_step(
  state: TrainState,
  frozen: Any,
  batch: dict[str, jax.Array],
  *,
  stage: Stage,
  model_optimizer: optax.GradientTransformation,
  discriminator_optimizer: optax.GradientTransformation,
) -> tuple[TrainState, Metrics]:
  """One fused GAN step: both gradients at the old parameters, from one forward pass of the generator.

  The official trainers update the generator, then the discriminator on fakes of the *old* generator scored by the
  *old* discriminator; since neither sees the other's update, both gradients can be taken before either is applied.

  Args:
    state: parameters and moments; donate it.
    frozen: parameters that never train (VGG), see `Stage`.
    batch: uint8[batch, height, width, 3] images by field name.
    stage: the losses and what trains.
    model_optimizer: of the trainable part of `state.model`.
    discriminator_optimizer: of `state.discriminator`.

  Returns:
    The next state and float32 scalars: every loss term (weighted mean over the global batch), 'loss',
    'discriminator_loss' and both gradient norms.
  """
  trainable, fixed = trees.split(state.model, stage.trainable)

  def model_loss(trainable):
    params = trees.unflatten({**trainable, **fixed})
    terms, images = stage.model_losses(params, state.discriminator, frozen, batch)
    return *mean_terms(terms), images

  def total_model_loss(trainable):
    loss, metrics, images = model_loss(trainable)
    return loss, (metrics, images)

  def total_discriminator_loss(flat, images):
    return mean_terms(stage.discriminator_losses(trees.unflatten(flat), images))

  (loss, (metrics, images)), model_grads = jax.value_and_grad(total_model_loss, has_aux=True)(trainable)
  images = jax.lax.stop_gradient(images)
  flat = trees.flatten(state.discriminator)
  (discriminator_loss, discriminator_metrics), discriminator_grads = jax.value_and_grad(
    total_discriminator_loss, has_aux=True
  )(flat, images)

  updates, model_moments = model_optimizer.update(model_grads, state.model_moments, trainable)
  trainable = optax.apply_updates(trainable, updates)
  updates, discriminator_moments = discriminator_optimizer.update(
    discriminator_grads, state.discriminator_moments, flat
  )
  flat = optax.apply_updates(flat, updates)

  metrics = {
    **metrics,
    **discriminator_metrics,
    'loss': loss,
    'discriminator_loss': discriminator_loss,
    'grad_norm/model': optax.tree.norm(model_grads),
    'grad_norm/discriminator': optax.tree.norm(discriminator_grads),
  }
  next_state = TrainState(
    step=state.step + 1,
    model=trees.unflatten({**trainable, **fixed}),
    discriminator=trees.unflatten(flat),
    model_moments=model_moments,
    discriminator_moments=discriminator_moments,
  )
  return next_state, metrics


def validation_step(
  model: Any, discriminator: Any, frozen: Any, batch: dict[str, jax.Array], *, stage: Stage
) -> Metrics:
  """The generator side's loss terms on one batch, without an update."""
  terms, _ = stage.model_losses(model, discriminator, frozen, batch)
  loss, metrics = mean_terms(terms)
  return {**metrics, 'loss': loss}


def mean_terms(terms: dict[str, jax.Array]) -> tuple[jax.Array, Metrics]:
  """Sums named per-example terms, float32[batch] each, averaged over the global batch: the one place where it happens."""
  metrics = {name: jnp.mean(values) for name, values in terms.items()}
  return sum(metrics.values(), jnp.zeros(())), metrics
