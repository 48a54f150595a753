"""The state that a new run begins with: drawn, handed over by another run, and set by the first batch."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from edtalk_jax.config import UserError
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import feed, sharding, trees
from edtalk_jax.training import hand_off as hand_off_lib
from edtalk_jax.training.examples import Examples
from edtalk_jax.training.hand_off import Opened
from edtalk_jax.training.programs import Programs
from edtalk_jax.training.state import TrainState

Say = Callable[[str], None]


def build(examples: Examples, programs: Programs, mesh: Mesh, source: Opened | None, say: Say) -> TrainState:
  """Draws a state, fills it from `source` if that is given, and lets the first batch set what depends on data.

  Raises:
    UserError: if a parameter that the stage does not train would stay as drawn.
  """
  config, stage = examples.config, examples.stage
  state = programs.init(jax.random.key(config.run.seed))
  by_data = _set_by_data(examples, programs)
  if source is None:
    if not config.data.synthetic_batch:  # noise measures speed, which does not depend on parameters
      _check_frozen(stage, trees.flatten({'model': state.model}).keys() - by_data, 'there is no --from')
    if stage.starts_from:
      say(f'starting from scratch; stage {stage.name} usually starts from a run of {stage.starts_from} (--from)')
  else:
    params, report = hand_off_lib.hand_off({'model': state.model, 'discriminator': state.discriminator}, source)
    _check_frozen(stage, set(report.new) - by_data, f'--from {source.workdir} lacks them')
    say(report.summary())
    state, by_data = state.replace(**params), by_data - set(report.restored)
  state = state.replace(model=set_by_first_batch(examples, programs, mesh, state.model, by_data))
  return state.replace(ema=jax.tree.map(jnp.copy, state.model)) if state.ema else state


def set_by_first_batch(examples: Examples, programs: Programs, mesh: Mesh, model: Any, paths: set[str]) -> Any:
  """The generator side's parameters with those of `paths` ('model/...') as `Stage.start` sets them."""
  if not paths:
    return model
  first = feed.to_device(examples.first(), sharding.batch_sharding(mesh))
  old, new = trees.flatten(model), trees.flatten(programs.start(model, first))
  return trees.unflatten({path: (new if f'model/{path}' in paths else old)[path] for path in old})


def _set_by_data(examples: Examples, programs: Programs) -> set[str]:
  """Paths of the parameters that `Stage.start` sets, 'model/...'."""
  config, stage = examples.config, examples.stage
  if stage.start is None:
    return set()
  batched = lambda field: jax.ShapeDtypeStruct((config.data.batch_size, *field.shape), field.dtype)
  batch = {name: batched(field) for name, field in feed.shapes(config, stage).items()}
  return {f'model/{path}' for path in jax.eval_shape(stage.start, programs.shapes.model, batch)}


def _check_frozen(stage: Stage, drawn: Iterable[str], why: str) -> None:
  """Raises UserError if any parameter that is drawn at random here would never be trained."""
  fine = [stage.trainable, *filter(None, (stage.moving, stage.given))]  # an empty `trainable` matches everything
  frozen = sorted(path for path in drawn if path.startswith('model/') and not any(re.search(p, path[6:]) for p in fine))
  if frozen:
    raise UserError(
      f'stage {stage.name} does not train {frozen[0]} and {len(frozen) - 1} more arrays, but {why}; '
      f'give --from a run of {stage.starts_from or stage.name}'
    )
