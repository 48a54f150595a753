"""The compiled parts of a run: pure functions of the stage, bound to a mesh."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh

from edtalk_jax import chips
from edtalk_jax.config import Config, UserError
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import accumulation, average, guards, optimizers, regularisation, sharding, step, trees
from edtalk_jax.training import state as state_lib
from edtalk_jax.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class Programs:
  """What a run executes. Nothing is compiled before it is called.

  Attributes:
    mesh: that everything is bound to.
    init: key -> TrainState, born sharded.
    shapes: the state as ShapeDtypeStructs with their shardings.
    start: (model, batch) -> model, with what `Stage.start` makes of the batch; None if the stage has none.
    place_frozen: the frozen parameters -> the same on the mesh.
    train: (state, frozen, batch) -> (state, metrics); the state is donated.
    validate: (model, discriminator, frozen, batch) -> metrics, without an update.
    images: (model, discriminator, frozen, batch) -> the stage's images.
    finite: state -> whether all of it is finite.
  """

  mesh: Mesh
  init: Callable[[jax.Array], TrainState]
  shapes: TrainState
  start: Callable[..., Any] | None
  place_frozen: Callable[[Any], Any]
  train: Callable[..., tuple[TrainState, dict[str, jax.Array]]]
  validate: Callable[..., dict[str, jax.Array]]
  images: Callable[..., dict[str, jax.Array]]
  finite: Callable[[TrainState], jax.Array]


def build(config: Config, stage: Stage, mesh: Mesh) -> Programs:
  """Binds the functions of `stage` to `mesh`.

  Raises:
    UserError: if the mesh does not divide the parameters, accumulation would change the result, or the stage lacks
      what a regulariser needs.
  """
  optimizer = optimizers.both(config)
  train_step = _train_step(config, stage, mesh, optimizer)

  def init(key: jax.Array) -> TrainState:
    kept = {'ema': config.optimizer.ema > 0, 'regularisers': regularisation.names(config)}
    return state_lib.create(stage.init(key), stage.trainable, **optimizer, **kept)

  def images(*arguments):
    return stage.model_losses(*arguments)[1]

  def start(model, batch):
    return trees.unflatten({**trees.flatten(model), **stage.start(model, batch)})

  shapes = jax.eval_shape(init, jax.random.key(0))
  placement = sharding.tree_sharding(shapes, mesh)
  replicated = sharding.replicated(mesh)
  return Programs(
    mesh=mesh,
    init=jax.jit(init, out_shardings=placement),
    shapes=jax.tree.map(lambda s, p: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=p), shapes, placement),
    start=jax.jit(start, out_shardings=placement.model) if stage.start else None,
    place_frozen=lambda params: jax.device_put(params, sharding.tree_sharding({'frozen': params}, mesh)['frozen']),
    train=jax.jit(
      train_step,
      donate_argnums=0,
      out_shardings=(placement, replicated),
      compiler_options=compiler_options(config, mesh),
    ),
    validate=jax.jit(functools.partial(step.validation_step, stage=stage), out_shardings=replicated),
    images=jax.jit(images),
    finite=jax.jit(guards.all_finite, out_shardings=replicated),
  )


def compiler_options(config: Config, mesh: Mesh | AbstractMesh) -> dict[str, str]:
  """Those of XLA for the train step: the configuration's, and the chip's that it does not name."""
  chip = None if isinstance(mesh, AbstractMesh) else chips.of_kind(mesh.devices.flat[0].device_kind)
  return {**dict(chip.compiler if chip else ()), **dict(config.run.compiler)}


def check_compiler(config: Config) -> None:
  """Raises UserError if XLA does not take an option of `run.compiler`, before a run begins."""
  if not config.run.compiler:
    return
  try:
    jax.jit(lambda: 0, compiler_options=dict(config.run.compiler)).lower().compile()
  except jax.errors.JaxRuntimeError as error:
    raise refused_option(error) or error from None


def refused_option(error: jax.errors.JaxRuntimeError) -> UserError | None:
  """What to tell of an error in compiling that is about `run.compiler`; None of others."""
  about = any(words in str(error) for words in ('No such compile option', 'While setting option'))
  return UserError(f'run.compiler: {error}') if about else None


def _train_step(config: Config, stage: Stage, mesh: Mesh, optimizer: dict[str, Any]) -> Callable:
  """`step.train_step` with everything but its arrays bound."""
  settings, parts, smooth = config.optimizer, accumulation.WHOLE, None
  if settings.accumulate > 1:
    accumulation.check(config, stage, sharding.batch_shares(mesh))
    parts = accumulation.Parts(settings.accumulate, sharding.parts_sharding(mesh))
  if settings.ema:
    smooth = functools.partial(average.update, batch_size=config.data.batch_size, half_life=settings.ema)
  regularisers = regularisation.build(config, stage, parts, **optimizer)
  return functools.partial(
    step.train_step, stage=stage, parts=parts, regularisers=regularisers, average=smooth, **optimizer
  )
