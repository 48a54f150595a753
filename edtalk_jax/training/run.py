"""A training run from configuration to finished checkpoint: one loop for every stage."""

import dataclasses
import functools
import hashlib
import math
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from data_pipeline import loader, records
from edtalk_jax import stages
from edtalk_jax.config import Config, UserError
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import feed, optimizers, record, samples, sharding, step
from edtalk_jax.training import checkpoint as checkpoint_lib
from edtalk_jax.training import state as state_lib
from edtalk_jax.training.metrics import Clock, MetricLog, progress_line
from edtalk_jax.training.state import TrainState

Say = Callable[[str], None]
SAMPLE_ROWS = 4  # examples in a sample grid


@dataclasses.dataclass(frozen=True)
class Programs:
  """The compiled parts of a run on its mesh.

  Attributes:
    init: key -> TrainState, born sharded.
    shapes: the state as ShapeDtypeStructs with shardings.
    train: (state, frozen, batch) -> (state, metrics); the state is donated.
    validate: (model, discriminator, frozen, batch) -> metrics.
    images: (model, discriminator, frozen, batch) -> the stage's images.
  """

  init: Callable[[jax.Array], TrainState]
  shapes: TrainState
  train: Callable[..., tuple[TrainState, dict[str, jax.Array]]]
  validate: Callable[..., dict[str, jax.Array]]
  images: Callable[..., dict[str, jax.Array]]


def build_programs(config: Config, stage: Stage, mesh: Mesh) -> Programs:
  """Binds the stage's pure functions to the mesh. Nothing is compiled before it is called."""
  model_optimizer = optimizers.adam(config.optimizer, config.optimizer.generator_every)
  discriminator_optimizer = optimizers.adam(config.optimizer, config.optimizer.discriminator_every)
  update = functools.partial(
    step.train_step, stage=stage, model_optimizer=model_optimizer, discriminator_optimizer=discriminator_optimizer
  )

  def init(key):
    return state_lib.create(stage.init(key), stage.trainable, model_optimizer, discriminator_optimizer)

  shapes = jax.eval_shape(init, jax.random.key(0))
  placement = sharding.tree_sharding(shapes, mesh)
  placed = jax.tree.map(lambda s, p: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=p), shapes, placement)
  return Programs(
    init=jax.jit(init, out_shardings=placement),
    shapes=placed,
    train=jax.jit(update, donate_argnums=0, out_shardings=(placement, sharding.replicated(mesh))),
    validate=jax.jit(functools.partial(step.validation_step, stage=stage)),
    images=jax.jit(lambda *args: stage.model_losses(*args)[1]),
  )


def train(config: Config, workdir: str, data: str, start_from: str | None = None, say: Say = print) -> None:
  """Trains until `config.run.steps`, going on from the newest checkpoint of `workdir` if there is one.

  Args:
    config: of the run; in a workdir that holds a run already, the same but for steps, logging and mesh.
    workdir: folder of the run's files (docs/training.md lists them).
    data: folder of records, as `edtalk prepare --out` made it.
    start_from: workdir of an earlier stage's run, whose parameters a new run takes over.
    say: where progress lines go, from process 0.

  Raises:
    UserError: with one line, before any step is made, on a mistake in the arguments; or on a non-finite loss.
  """
  say = say if jax.process_index() == 0 else lambda line: None
  folder = pathlib.Path(workdir)
  mesh = sharding.make_mesh(config.mesh)
  sharding.check_batch(config.data.batch_size, mesh, jax.process_count())
  stage = stages.build(config)
  splits = records.splits(data)
  content = _describe(config, stage, data, start_from)
  if (folder / record.FILE).exists():
    record.check_same(folder, content)
  else:
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder, content)

  with jax.set_mesh(mesh), checkpoint_lib.Checkpoints(folder, config.checkpoint) as checkpoints:
    if (checkpoints.latest_step() or 0) >= config.run.steps:
      say(f'{workdir}: the run is finished ({checkpoints.latest_step()} steps); raise run.steps (--steps) to go on')
      return
    programs = build_programs(config, stage, mesh)
    state = _first_state(config, programs, checkpoints, start_from, say)
    frozen = _frozen(config, stage, mesh, say)
    held_out = _held_out(config, stage, data, splits, mesh)
    _loop(config, stage, programs, state, frozen, held_out, data, folder, checkpoints, mesh, say)


def _describe(config: Config, stage: Stage, data: str, start_from: str | None) -> dict[str, Any]:
  weights = config.perceptual.weights
  features = 'seeded random features'
  if weights:
    try:
      features = 'sha256 ' + hashlib.sha256(pathlib.Path(weights).read_bytes()).hexdigest()
    except OSError as error:
      raise UserError(f'perceptual.weights={weights}: {error.strerror}') from None
  return record.describe(
    config,
    {
      'stage': stage.name,
      'start_from': start_from,
      'perceptual_features': features,
      'data': {'path': str(pathlib.Path(data).resolve()), 'fingerprint': records.fingerprint(data)},
    },
  )


def _first_state(config, programs, checkpoints, start_from, say) -> TrainState:
  """Restores the newest checkpoint, or draws a fresh state, or takes parameters over from an earlier stage."""
  latest = checkpoints.latest_step()
  if latest is not None:
    say(f'resuming at step {latest}')
    return checkpoints.restore(latest, programs.shapes)
  state = programs.init(jax.random.key(config.run.seed))
  if start_from is None:
    return state
  params, report = checkpoint_lib.hand_off(
    {'model': state.model, 'discriminator': state.discriminator}, start_from
  )
  say(report.summary())
  return state.replace(**params)


def _frozen(config: Config, stage: Stage, mesh: Mesh, say: Say) -> Any:
  """The frozen networks' parameters on the mesh; says where VGG's come from."""
  if config.perceptual.weights:
    say(f'perceptual loss: VGG19 weights of {config.perceptual.weights}')
  else:
    say('perceptual loss: seeded random VGG19 features (set perceptual.weights to a torchvision vgg19 file)')
  params = stage.init_frozen()
  return jax.device_put(params, sharding.tree_sharding({'vgg': params}, mesh)['vgg'])


def _held_out(config: Config, stage: Stage, data: str, splits, mesh: Mesh) -> list[feed.HostBatch]:
  """The first batches of the validation split; they fit in host memory and are the same at every checkpoint."""
  if 'val' not in splits or not config.log.validate_batches:
    return []
  batches = _loader(config, stage, data, split='val', workers=0)
  return [next(batches) for _ in range(config.log.validate_batches)]


def _loader(config: Config, stage: Stage, data: str, split: str, workers: int, start_step: int = 0):
  return loader.make_loader(
    data,
    split=split,
    sampler=stage.sampler,
    image_size=config.model.image_size,
    batch_size=config.data.batch_size,
    seed=config.run.seed,
    start_step=start_step,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
    workers=workers,
    mouth_canvas=config.data.mouth_canvas,
  )


def _loop(config, stage, programs, state, frozen, held_out, data, folder, checkpoints, mesh, say) -> None:
  """Steps, and what happens between them. Metrics are read one step late, so that the device never waits."""
  first, last = int(state.step), config.run.steps
  batch_sharding = sharding.batch_sharding(mesh)
  about = {'stage': stage.name}
  log = MetricLog(folder, first) if jax.process_index() == 0 else None
  clock = Clock(config.data.batch_size, first)
  pending = None

  def flush():
    if pending is not None:
      _report(*pending, config, clock, log, say)

  def validate():
    losses = _validation(programs, state, frozen, held_out, batch_sharding)
    if log and losses:
      log.write(number, losses)
      say(f'step {number}: validation loss {losses["validation/loss"]:.4g}')
    return losses.get('validation/loss', math.inf)

  batches = _loader(config, stage, data, split='train', workers=config.data.workers, start_step=first)
  with feed.Prefetch(batches, batch_sharding) as ahead:
    for number in range(first + 1, last + 1):
      host_batch, batch = next(ahead)
      state, metrics = programs.train(state, frozen, batch)
      flush()
      pending = (number, metrics) if number % config.log.every == 0 or number in (first + 1, last) else None
      if config.log.samples_every and (number % config.log.samples_every == 0 or number == last):
        shown = held_out[0] if held_out else host_batch
        _samples(folder, number, stage, programs, state, frozen, shown, batch_sharding)
      if number % config.checkpoint.every == 0 or number == last:
        checkpoints.save(state, about, validate())
  flush()
  if log:
    log.close()
  say(f'finished {last} steps of stage {stage.name}; next: python eval.py --workdir {folder} --data {data}')


def _report(number, metrics, config, clock, log, say) -> None:
  values = {name: float(value) for name, value in jax.device_get(metrics).items()}
  rate = clock.read(number)
  if log:
    log.write(number, values, {'examples_per_second': rate})
  say(progress_line(number, config.run.steps, rate, config.data.batch_size, values))
  bad = [name for name, value in values.items() if not math.isfinite(value)]
  if bad:
    raise UserError(f'step {number}: {bad[0]} is {values[bad[0]]}; the last good checkpoint is kept')


def _validation(programs, state, frozen, held_out, batch_sharding) -> dict[str, float]:
  """Mean loss terms over the held-out batches, named 'validation/...'."""
  results = [
    programs.validate(state.model, state.discriminator, frozen, feed.to_device(batch, batch_sharding))
    for batch in held_out
  ]
  host = jax.device_get(results)
  return {f'validation/{name}': float(np.mean([r[name] for r in host])) for name in (host[0] if host else ())}


def _samples(folder, number, stage, programs, state, frozen, host_batch, batch_sharding) -> None:
  """Writes the sample grid of one batch."""
  images = programs.images(state.model, state.discriminator, frozen, feed.to_device(host_batch, batch_sharding))
  if jax.process_count() > 1:
    return  # a grid shows what this process has; gathering pictures over hosts is not worth a stall
  grid = samples.columns(stage.samples, host_batch, jax.device_get(images), SAMPLE_ROWS)
  samples.write_grid(folder / 'samples' / f'{number:07d}.png', grid)
