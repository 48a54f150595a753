"""The compiled parts of a run: pure functions of the stage, bound to a mesh."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from edtalk_jax.config import Config
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import guards, optimizers, sharding, step
from edtalk_jax.training import state as state_lib
from edtalk_jax.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class Programs:
  """What a run executes. Nothing is compiled before it is called.

  Attributes:
    init: key -> TrainState, born sharded.
    shapes: the state as ShapeDtypeStructs with their shardings.
    place_frozen: the frozen parameters -> the same on the mesh.
    train: (state, frozen, batch) -> (state, metrics); the state is donated.
    validate: (model, discriminator, frozen, batch) -> metrics, without an update.
    images: (model, discriminator, frozen, batch) -> the stage's images.
    finite: state -> whether all of it is finite.
  """

  init: Callable[[jax.Array], TrainState]
  shapes: TrainState
  place_frozen: Callable[[Any], Any]
  train: Callable[..., tuple[TrainState, dict[str, jax.Array]]]
  validate: Callable[..., dict[str, jax.Array]]
  images: Callable[..., dict[str, jax.Array]]
  finite: Callable[[TrainState], jax.Array]


def build(config: Config, stage: Stage, mesh: Mesh) -> Programs:
  """Binds the functions of `stage` to `mesh`.

  Raises:
    UserError: if the mesh does not divide the parameters.
  """
  optimizer = {
    'model_optimizer': optimizers.adam(config.optimizer, config.optimizer.generator_every),
    'discriminator_optimizer': optimizers.adam(config.optimizer, config.optimizer.discriminator_every),
  }

  def init(key: jax.Array) -> TrainState:
    return state_lib.create(stage.init(key), stage.trainable, **optimizer)

  def images(*arguments):
    return stage.model_losses(*arguments)[1]

  shapes = jax.eval_shape(init, jax.random.key(0))
  placement = sharding.tree_sharding(shapes, mesh)
  replicated = sharding.replicated(mesh)
  return Programs(
    init=jax.jit(init, out_shardings=placement),
    shapes=jax.tree.map(lambda s, p: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=p), shapes, placement),
    place_frozen=lambda params: jax.device_put(params, sharding.tree_sharding({'frozen': params}, mesh)['frozen']),
    train=jax.jit(
      functools.partial(step.train_step, stage=stage, **optimizer),
      donate_argnums=0,
      out_shardings=(placement, replicated),
    ),
    validate=jax.jit(functools.partial(step.validation_step, stage=stage), out_shardings=replicated),
    images=jax.jit(images),
    finite=jax.jit(guards.all_finite, out_shardings=replicated),
  )
