"""StyleGAN2's lazy regularisers: R1 for the discriminator, path lengths for the generator (Karras et al., 2020).

A regulariser is measured every n-th step only, n times as heavy, in an update of its own after the ordinary one, with
the same optimiser; the rescaling in `optimizers.adam` makes up for the additional update. The reference has neither.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from edtalk_jax.config import Config, UserError
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import trees
from edtalk_jax.training.accumulation import Parts, mean_gradients
from edtalk_jax.training.state import TrainState

Batch = dict[str, jax.Array]
# (state after the ordinary update, the batch and 'real', the pictures that the discriminator saw as real) -> state
Regulariser = Callable[[TrainState, Batch], TrainState]

# Metrics of each regulariser, which `TrainState.regularisers` holds until they are measured again.
R1 = ('r1', 'grad_norm/r1')
PATH_LENGTH = ('path_length', 'path_length_mean', 'grad_norm/path_length')
_MEAN_STEP = 0.01  # of the running mean of path lengths (StyleGAN2's pl_decay)


def names(config: Config) -> tuple[str, ...]:
  """What the regularisers of a run measure."""
  return (R1 if config.loss.r1 else ()) + (PATH_LENGTH if config.loss.path_length else ())


def build(
  config: Config,
  stage: Stage,
  parts: Parts,
  model_optimizer: optax.GradientTransformation,
  discriminator_optimizer: optax.GradientTransformation,
) -> tuple[Regulariser, ...]:
  """The regularisers that `config` turns on.

  Raises:
    UserError: for one that the stage does not have.
  """
  found, optimizer = [], config.optimizer
  if weight := config.loss.r1:
    if stage.logits is None:
      raise UserError(f'loss.r1={weight:g}: stage {stage.name} has no logits to take it of')
    update = functools.partial(
      r1_update,
      weight=weight * optimizer.discriminator_every,
      stage=stage,
      parts=parts,
      optimizer=discriminator_optimizer,
    )
    found.append(functools.partial(_every, n=optimizer.discriminator_every, update=update))
  if weight := config.loss.path_length:
    if stage.path_lengths is None:
      raise UserError(f'loss.path_length={weight:g}: stage {stage.name} defines no path lengths')
    update = functools.partial(
      path_length_update,
      weight=weight * optimizer.generator_every,
      stage=stage,
      parts=parts,
      optimizer=model_optimizer,
      key=jax.random.key(config.run.seed),
    )
    found.append(functools.partial(_every, n=optimizer.generator_every, update=update))
  return tuple(found)


def _every(state: TrainState, batch: Batch, *, n: int, update: Regulariser) -> TrainState:
  """Makes the update in the steps 1, n + 1, 2 n + 1, ..."""
  return jax.lax.cond((state.step - 1) % n == 0, update, lambda state, batch: state, state, batch)


def r1_penalty(discriminator: Any, images: jax.Array, stage: Stage) -> jax.Array:
  """|dD(x)/dx|^2 at real images (Mescheder et al., 2018): float32[batch], means over views.

  Of the sum of all logits, as in StyleGAN2: the minibatch statistics let an image change its group's logits too.

  Args:
    discriminator: parameters.
    images: float32[batch, views, height, width, 3].
    stage: whose discriminator it is.
  """
  gradient = jax.grad(lambda images: jnp.sum(stage.logits(discriminator, images)))(images)
  return jnp.mean(jnp.sum(jnp.square(gradient), axis=(2, 3, 4)), axis=1)


def r1_update(
  state: TrainState,
  batch: Batch,
  *,
  weight: float,
  stage: Stage,
  parts: Parts,
  optimizer: optax.GradientTransformation,
) -> TrainState:
  """One update of the discriminator by weight / 2 * mean of `r1_penalty` over the real images."""
  flat = trees.flatten(state.discriminator)

  def compute(batch):
    def loss(flat):
      penalty = jnp.mean(r1_penalty(trees.unflatten(flat), batch['real'], stage))
      return weight / 2 * penalty, penalty

    gradient, penalty = jax.grad(loss, has_aux=True)(flat)
    return gradient, penalty, ()

  gradient, penalty, _ = mean_gradients(compute, flat, {'real': batch['real']}, parts)
  updates, moments = optimizer.update(gradient, state.discriminator_moments, flat)
  measured = dict(zip(R1, (penalty, optax.tree.norm(gradient)), strict=True))
  return state.replace(
    discriminator=trees.unflatten(optax.apply_updates(flat, updates)),
    discriminator_moments=moments,
    regularisers={**state.regularisers, **measured},
  )


def path_length_update(
  state: TrainState,
  batch: Batch,
  *,
  weight: float,
  stage: Stage,
  parts: Parts,
  optimizer: optax.GradientTransformation,
  key: jax.Array,
) -> TrainState:
  """One update of the generator side by weight * mean of (path length - a)^2, a the running mean of path lengths.

  StyleGAN2 App. B; `Stage.path_lengths` says what a path length is here. a is that of the steps before, a constant, so
  that a batch in parts gives what the whole gives; StyleGAN2's has moved a hundredth towards this batch already.
  """
  trainable, fixed = trees.split(state.model, stage.trainable)
  count = len(next(iter(batch.values())))
  # One key an example: the noise does not depend on the mesh or the number of parts.
  # As numbers: cutting the batch into parts transposes, which JAX's check of reused keys takes for a use.
  keys = jax.random.key_data(jax.random.split(jax.random.fold_in(key, state.step), count))
  mean = state.regularisers['path_length_mean']

  def compute(batch):
    def loss(trainable):
      model = trees.unflatten({**trainable, **fixed})
      lengths = stage.path_lengths(model, batch, jax.random.wrap_key_data(batch['keys']))
      return weight * jnp.mean(jnp.square(lengths - mean)), jnp.mean(lengths)

    gradient, length = jax.grad(loss, has_aux=True)(trainable)
    return gradient, length, ()

  gradient, length, _ = mean_gradients(compute, trainable, {**batch, 'keys': keys}, parts)
  updates, moments = optimizer.update(gradient, state.model_moments, trainable)
  measured = (length, mean + _MEAN_STEP * (length - mean), optax.tree.norm(gradient))
  return state.replace(
    model=trees.unflatten({**optax.apply_updates(trainable, updates), **fixed}),
    model_moments=moments,
    regularisers={**state.regularisers, **dict(zip(PATH_LENGTH, measured, strict=True))},
  )
