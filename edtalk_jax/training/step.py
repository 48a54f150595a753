"""One update of both networks, as pure functions."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from edtalk_jax.stages.stage import MOVED, WATCHED, Images, Stage, Terms
from edtalk_jax.training import guards, trees
from edtalk_jax.training.accumulation import WHOLE, Parts, mean_gradients
from edtalk_jax.training.regularisation import Regulariser
from edtalk_jax.training.state import TrainState

Metrics = dict[str, jax.Array]


@flax.struct.dataclass
class Gradients:
  """Of one batch, both at the same parameters.

  Attributes:
    model: gradient of the generator side's trainable part, keyed by path.
    discriminator: gradient of the discriminator, keyed by path.
    metrics: float32 scalars: every loss term, 'loss', 'discriminator_loss', what is watched, both gradients' norms.
    images: what the stage painted, without gradient.
    moved: next values of the parameters that move without a gradient, keyed by path.
  """

  model: trees.Flat
  discriminator: trees.Flat
  metrics: Metrics
  images: Images
  moved: trees.Flat


def gradients(
  model: Any,
  discriminator: Any,
  frozen: Any,
  batch: dict[str, jax.Array],
  *,
  stage: Stage,
  parts: Parts = WHOLE,
) -> Gradients:
  """Returns both networks' gradients from one forward pass of the generator.

  The official trainers update the generator, then the discriminator on fakes of the *old* generator scored by the
  *old* discriminator. Neither sees the other's update, so both gradients can be taken before either is applied.

  Args:
    model: parameters of the generator side.
    discriminator: its parameters.
    frozen: parameters that never train, see `Stage`.
    batch: uint8[batch, height, width, 3] images, and other arrays, by field name.
    stage: the losses and what trains.
    parts: the batch is worked off in so many, with the result of the whole.
  """
  trainable, fixed = trees.split(model, stage.trainable)
  flat = trees.flatten(discriminator)

  def compute(batch):
    def model_loss(trainable):
      terms, images = stage.model_losses(trees.unflatten({**trainable, **fixed}), discriminator, frozen, batch)
      loss, metrics = total(terms)
      return loss, ({**metrics, 'loss': loss}, jax.lax.stop_gradient(images))

    model_gradient, (metrics, images) = jax.grad(model_loss, has_aux=True)(trainable)

    def discriminator_loss(flat):
      loss, metrics = total(stage.discriminator_losses(trees.unflatten(flat), images))
      return loss, {**metrics, 'discriminator_loss': loss} if flat else {}  # some stages have no discriminator

    discriminator_gradient, more = jax.grad(discriminator_loss, has_aux=True)(flat)
    watched = total(images.pop(WATCHED, {}))[1]
    return (model_gradient, discriminator_gradient), {**metrics, **more, **watched}, images

  (ours, theirs), metrics, images = mean_gradients(compute, (trainable, flat), batch, parts)
  moved = trees.flatten(images.pop(MOVED, {}))
  both = {'model': ours, 'discriminator': theirs}
  norms = {f'grad_norm/{name}': optax.tree.norm(gradient) for name, gradient in both.items() if gradient}
  return Gradients(model=ours, discriminator=theirs, metrics={**metrics, **norms}, images=images, moved=moved)


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
    model=trees.unflatten({**trainable, **fixed, **found.moved}),
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
  parts: Parts = WHOLE,
  regularisers: Sequence[Regulariser] = (),
  average: Callable[[Any, Any, jax.Array], Any] | None = None,
) -> tuple[TrainState, Metrics]:
  """One fused GAN step: `gradients`, `apply_gradients`, what else is on, unless `guards` skips it all. Donate `state`.

  Args:
    state: before the step.
    frozen: parameters that never train.
    batch: uint8[batch, height, width, 3] images by field name.
    stage: the losses and what trains.
    model_optimizer: of the generator side.
    discriminator_optimizer: of the discriminator.
    parts: in which the batch is worked off.
    regularisers: updates that follow the ordinary one, see `regularisation`.
    average: (average, parameters, step) -> average, see `average.update`; None if the state has none.
  """
  found = gradients(state.model, state.discriminator, frozen, batch, stage=stage, parts=parts)
  next_state = apply_gradients(
    state, found, stage=stage, model_optimizer=model_optimizer, discriminator_optimizer=discriminator_optimizer
  )
  for regularise in regularisers:
    next_state = regularise(next_state, {**batch, 'real': found.images['real']})
  if average is not None:
    next_state = next_state.replace(ema=average(state.ema, next_state.model, next_state.step))
  metrics = {**found.metrics, **next_state.regularisers}
  next_state, skips = guards.skip_unless_finite(state, next_state, metrics)
  return next_state, {**metrics, **skips}


def validation_step(model: Any, discriminator: Any, frozen: Any, batch: dict[str, jax.Array], *, stage: Stage):
  """The generator side's loss terms on one batch, without an update: float32 scalars by name."""
  terms, images = (stage.validation_losses or stage.model_losses)(model, discriminator, frozen, batch)
  loss, metrics = total(terms)
  return {**metrics, **total(images.get(WATCHED, {}))[1], 'loss': loss}


def total(terms: Terms) -> tuple[jax.Array, Metrics]:
  """Averages float32[batch] terms over the global batch and adds them up: the one place where either happens."""
  metrics = {name: jnp.mean(values) for name, values in terms.items()}
  return sum(metrics.values(), jnp.zeros(())), metrics


def _update(optimizer, gradient, moments, params):
  updates, moments = optimizer.update(gradient, moments, params)
  return optax.apply_updates(params, updates), moments
