"""A training run from its configuration to its last checkpoint."""

import contextlib
import hashlib
import pathlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from data_pipeline import loader, records, sampling
from edtalk_jax import stages
from edtalk_jax.config import Config, UserError
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import checkpoint, cluster, feed, lock, record, sharding, trees
from edtalk_jax.training import hand_off as hand_off_lib
from edtalk_jax.training import programs as programs_lib
from edtalk_jax.training.checkpoint import Checkpoints
from edtalk_jax.training.feed import HostBatch
from edtalk_jax.training.loop import Loop
from edtalk_jax.training.observe import NOTHING, Observe
from edtalk_jax.training.programs import Programs
from edtalk_jax.training.shelf import Shelf
from edtalk_jax.training.state import TrainState

Say = Callable[[str], None]


def train(
  config: Config,
  workdir: str,
  data: str | None,
  start_from: str | None = None,
  observe: Observe = NOTHING,
  say: Say = print,
) -> None:
  """Trains until `config.run.steps`, going on from the newest checkpoint of `workdir` if there is one.

  Args:
    config: of the run. In a workdir that holds a run already, the same but for steps, logging, workers and mesh.
    workdir: folder of the run's files; docs/training.md lists them.
    data: folder of records, as `edtalk prepare --out` made it; None with `data.synthetic_batch`.
    start_from: workdir of an earlier stage's run, whose parameters a new run takes over.
    observe: what to write besides the usual files.
    say: where progress lines go, from process 0.

  Raises:
    UserError: with one line, before any step, on a mistake in the arguments.
    RunStopped: with one line, after too many updates in a row that were not finite (`config.guard`).
    DataError: on unreadable records.
    Preempted, PeerLost: as terminal.py says.
  """
  say = say if jax.process_index() == 0 else _silence
  folder = pathlib.Path(workdir)
  mesh = sharding.make_mesh(config.mesh)
  sharding.check_batch(config.data.batch_size, mesh, jax.process_count())
  stage = stages.build(config)
  programs = programs_lib.build(config, stage, mesh)
  content = record.describe(config, _origin(config, stage, data, start_from))
  cluster.meet(mesh)  # nothing is written before every process has found its arguments right
  with jax.set_mesh(mesh), lock.held(folder):
    latest = checkpoint.resume_step(folder, say)
    if latest is not None:
      _check_resumed(folder, latest, content, say)
    if latest is not None and latest >= config.run.steps:
      say(f'{workdir}: the run is finished ({latest} steps); raise run.steps (--steps) to train longer')
      return
    frozen = programs.place_frozen(stage.init_frozen())
    state = _first_state(config, stage, programs, folder, latest, start_from, say)
    held_out = _held_out(config, stage, data, say)
    batches = _batches(
      config, stage, data, split='train', workers=config.data.workers, start_step=int(state.step)
    )
    _write_record(folder, content)  # from here on the folder holds a run
    say(f'stage {stage.name}, {_count(state)}, mesh {dict(mesh.shape)}; {_perceptual(config)}')
    with Checkpoints(folder, config.checkpoint, content) as checkpoints:
      loop = Loop(
        config, stage, programs, frozen, held_out, mesh=mesh, workdir=folder, checkpoints=checkpoints,
        began=content['began'], observe=observe, say=say
      )  # fmt: skip
      with cluster.collectives():
        loop.run(state, batches)
  steps = config.run.steps
  say(f'finished {steps} steps of stage {stage.name}; next: python eval.py --workdir {workdir} --data {data}')


def _silence(line: str) -> None:
  """Where the progress lines of processes other than 0 go."""


def _origin(config: Config, stage: Stage, data: str, start_from: str | None) -> dict[str, Any]:
  """What config.json says besides the configuration: stage, origin, perceptual features, data set."""
  features = 'seeded random VGG19'
  if config.perceptual.weights:
    try:
      content = pathlib.Path(config.perceptual.weights).read_bytes()
    except OSError as error:
      raise UserError(f'perceptual.weights={config.perceptual.weights}: {error.strerror}') from None
    features = f'VGG19, sha256 {hashlib.sha256(content).hexdigest()}'
  if config.data.synthetic_batch:
    origin = {'path': None, 'fingerprint': 'synthetic batch'}
  elif data is None:
    raise UserError('--data is missing: give a folder of records, or --set data.synthetic_batch=True to do without')
  else:
    origin = {'path': str(pathlib.Path(data).resolve()), 'fingerprint': records.fingerprint(data)}
  return {
    'stage': stage.name,
    'start_from': start_from,
    'perceptual_features': features,
    'data': origin,
    'began': time.time(),  # of the first start, in seconds since 1970
  }


def _write_record(folder: pathlib.Path, content: dict[str, Any]) -> None:
  """Writes config.json from one process; rewritten on resuming, since steps and logging may have changed."""
  if jax.process_index() == 0:
    record.write(folder, content)


def _perceptual(config: Config) -> str:
  if config.perceptual.weights:
    return f'perceptual loss on VGG19 weights of {config.perceptual.weights}'
  return 'perceptual loss on seeded random VGG19 features (perceptual.weights names a torchvision vgg19 file)'


def _count(state: TrainState) -> str:
  size = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree)) / 1e6
  return f'{size(state.model):.1f} M generator-side and {size(state.discriminator):.1f} M discriminator parameters'


def _check_resumed(folder: pathlib.Path, step: int, content: dict[str, Any], say: Say) -> None:
  """Refuses a checkpoint of another run; where the parameters came from stays what the first start said."""
  old = Shelf(folder).about(step)['run']
  record.check_same(folder, old, content)
  content['start_from'], content['began'] = old['start_from'], old.get('began', content['began'])
  if changed := record.other_versions(old, content):
    say(f'other versions than before ({changed}): from here on, numbers may differ in their last bits')


def _first_state(
  config: Config,
  stage: Stage,
  programs: Programs,
  folder: pathlib.Path,
  latest: int | None,
  start_from: str | None,
  say: Say,
) -> TrainState:
  """Restores the checkpoint of step `latest`, or draws a fresh state, filled from another run if one is given."""
  if latest is not None:
    say(f'resuming at step {latest}')
    return checkpoint.restore(folder, latest, programs.shapes)
  source = None if start_from is None else hand_off_lib.open_run(start_from, say=say)
  state = programs.init(jax.random.key(config.run.seed))
  if source is None:
    if not config.data.synthetic_batch:  # noise measures speed, which does not depend on parameters
      _check_frozen(stage, trees.flatten({'model': state.model}), 'there is no --from')
    if stage.starts_from:
      say(f'starting from scratch; stage {stage.name} usually starts from a run of {stage.starts_from} (--from)')
    return state
  params, report = hand_off_lib.hand_off({'model': state.model, 'discriminator': state.discriminator}, source)
  _check_frozen(stage, report.new, f'--from {start_from} lacks them')
  say(report.summary())
  state = state.replace(**params)
  return state.replace(ema=jax.tree.map(jnp.copy, state.model)) if state.ema else state


def _check_frozen(stage: Stage, drawn: Iterable[str], why: str) -> None:
  """Raises UserError if any parameter that is drawn at random here would never be trained."""
  frozen = [path for path in drawn if path.startswith('model/') and not re.search(stage.trainable, path[6:])]
  if frozen:
    raise UserError(f'stage {stage.name} does not train {frozen[0]} and {len(frozen) - 1} more arrays, but {why}; '
                    f'give --from a run of {stage.starts_from or stage.name}')


def _held_out(config: Config, stage: Stage, data: str | None, say: Say) -> list[HostBatch]:
  """The first batches of the validation split, if there is one: the same at every checkpoint, kept on the host."""
  if not config.log.validate_batches or config.data.synthetic_batch or 'val' not in records.splits(data):
    return []
  with contextlib.closing(_batches(config, stage, data, split='val', workers=0, start_step=0)) as batches:
    found = [next(batches) for _ in range(config.log.validate_batches)]
  for text in sorted({str(text) for batch in found for text in batch.get('corrupt', ()) if text}):
    say(f'validation: {text}; other clips take its place (data.on_corrupt=skip)')
  return found


def _batches(
  config: Config, stage: Stage, data: str | None, *, split: str, workers: int, start_step: int
) -> Iterator[HostBatch]:
  if config.data.synthetic_batch:
    return feed.noise(config, sampling.get(stage.sampler).fields, start_step)
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
    skip_corrupt=config.data.on_corrupt == 'skip',
  )
