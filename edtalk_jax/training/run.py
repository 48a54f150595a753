"""A training run from its configuration to its last checkpoint."""

import contextlib
import hashlib
import pathlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from data_pipeline import digests, loader, records, sampling
from edtalk_jax import stages, storage
from edtalk_jax.config import Config, UserError
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import checkpoint, cluster, extraction, feed, record, records_copy, sharding, trees
from edtalk_jax.training import hand_off as hand_off_lib
from edtalk_jax.training import programs as programs_lib
from edtalk_jax.training import workdir as workdir_lib
from edtalk_jax.training.checkpoint import Checkpoints
from edtalk_jax.training.feed import HostBatch
from edtalk_jax.training.hand_off import Opened
from edtalk_jax.training.loop import Loop
from edtalk_jax.training.observe import NOTHING, Observe
from edtalk_jax.training.patience import Patience
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
    workdir: folder of the run's files, which docs/training.md lists, or its URL on object storage.
    data: folder of records, as `edtalk prepare --out` made it, or its URL; None with `data.synthetic_batch`.
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
  mesh = sharding.make_mesh(config.mesh)
  sharding.check_batch(config.data.batch_size, mesh, jax.process_count())
  stage = stages.build(config)
  programs = programs_lib.build(config, stage, mesh)
  motion = _motion_source(config, stage, say)
  given, data = data, None if data is None else records_copy.here(data, say)
  content = record.describe(config, _origin(config, stage, given, data, start_from, motion))
  cluster.meet(mesh)  # nothing is written before every process has found its arguments right
  with jax.set_mesh(mesh), workdir_lib.opened(workdir, say) as place:
    folder, latest = place.folder, place.resume_step(say)
    if latest is not None:
      _check_resumed(workdir, Shelf(folder).about(latest)['run'], content, say)
    if latest is not None and latest >= config.run.steps:
      say(f'{workdir}: the run is finished ({latest} steps); raise run.steps (--steps) to train longer')
      return
    if latest is not None and (why := Patience(config.checkpoint, folder).spent(latest)):
      say(f'{workdir}: the run is finished ({latest} steps): {why}')
      return
    frozen = programs.place_frozen(hand_off_lib.read_frozen(stage.init_frozen(), stage.reads))
    weights = _motion_weights(config, stage, data, motion, say)
    if latest is not None:
      say(f'resuming at step {latest}')
      state = checkpoint.restore(folder, latest, programs.shapes)
    else:
      source = None if start_from is None else hand_off_lib.open_run(start_from, say=say)
      content['start_fingerprint'] = None if source is None else source.fingerprint
      state = _first_state(config, stage, programs, mesh, data, weights, source, say)
    held_out = _held_out(config, stage, data, weights, say)
    batches = _batches(
      config, stage, data, weights, workers=config.data.workers, start_step=int(state.step)
    )
    _write_record(folder, content)  # from here on the folder holds a run
    say(f'stage {stage.name}, {_count(state)}, mesh {dict(mesh.shape)}{_perceptual(config, stage)}')
    for name, path in _inputs(config, stage, data).items():
      say(f'{name}: {path or "none"}')
    with Checkpoints(folder, config.checkpoint, content, place.remote) as checkpoints:
      loop = Loop(
        config, stage, programs, frozen, held_out, mesh=mesh, workdir=folder, checkpoints=checkpoints,
        began=content['began'], observe=observe, say=say
      )  # fmt: skip
      with cluster.collectives():
        steps = int(loop.run(state, batches).step)
  say(f'finished {steps} steps of stage {stage.name}; next: python eval.py --workdir {workdir} --data {given}')


def _silence(line: str) -> None:
  """Where the progress lines of processes other than 0 go."""


def _motion_source(config: Config, stage: Stage, say: Say) -> Opened | None:
  """The checkpoint that reads the motion weights which the stage's examples hold; None for stages without."""
  if config.data.synthetic_batch or not sampling.get(stage.sampler).motion:
    return None
  if not config.data.motion:
    raise UserError(f'stage {stage.name} learns from motion weights; give --set data.motion=RUN, the run that reads '
                    'them, of stage mouth_pose or a later one')  # fmt: skip
  return hand_off_lib.open_run(config.data.motion, parts=('model',), say=say)


def _motion_weights(config: Config, stage: Stage, data: str | None, source: Opened | None, say: Say) -> str:
  """The folder of motion weights, which are read now if need be; '' for stages without."""
  if source is None:
    return ''
  splits = [stage.split, *(['val'] if _validates(config, stage, data) else [])]
  skip = config.data.on_corrupt == 'skip'
  return str(extraction.ensure(source, data, splits, workers=config.data.workers, skip_corrupt=skip, say=say))


def _origin(
  config: Config, stage: Stage, given: str | None, data: str | None, start_from: str | None, motion: Opened | None
) -> dict[str, Any]:
  """What config.json says besides the configuration: stage, origins, perceptual features, data set.

  `data` is where this machine has what the user named as `given`.
  """
  features = 'seeded random VGG19' if stage.perceptual else None
  if stage.perceptual and config.perceptual.weights:
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
    path = given if storage.is_remote(given) else str(pathlib.Path(data).resolve())
    origin = {'path': path, 'fingerprint': records.fingerprint(data)}
  return {
    'stage': stage.name,
    'start_from': start_from,
    'start_fingerprint': None,  # of the checkpoint there, known once it is opened
    'perceptual_features': features,
    'motion': None if motion is None else {'fingerprint': motion.fingerprint},
    'reads': {name: hand_off_lib.open_run(run).fingerprint for name, run in stage.reads.items()},
    'inputs': _digests(_inputs(config, stage, data)),
    'data': origin,
    'began': time.time(),  # of the first start, in seconds since 1970
  }


def _inputs(config: Config, stage: Stage, data: str | None) -> Mapping[str, str]:
  """Name -> file of what examples are made of beside records; '' where there is none."""
  return {} if stage.inputs is None or config.data.synthetic_batch else stage.inputs(data)


def _digests(inputs: Mapping[str, str]) -> dict[str, str]:
  try:
    return {name: digests.of_file(path) if path else '' for name, path in inputs.items()}
  except OSError as error:
    raise UserError(f'{error.filename}: {error.strerror}') from None


def _write_record(folder: pathlib.Path, content: dict[str, Any]) -> None:
  """Writes config.json from one process; rewritten on resuming, since steps and logging may have changed."""
  if jax.process_index() == 0:
    record.write(folder, content)


def _perceptual(config: Config, stage: Stage) -> str:
  if not stage.perceptual:
    return ''
  if config.perceptual.weights:
    return f'; perceptual loss on VGG19 weights of {config.perceptual.weights}'
  return '; perceptual loss on seeded random VGG19 features (perceptual.weights names a torchvision vgg19 file)'


def _count(state: TrainState) -> str:
  size = lambda tree: f'{sum(leaf.size for leaf in jax.tree.leaves(tree)) / 1e6:.1f} M'
  if not state.discriminator:
    return f'{size(state.model)} parameters'
  return f'{size(state.model)} generator-side and {size(state.discriminator)} discriminator parameters'


def _check_resumed(workdir: str, old: dict[str, Any], content: dict[str, Any], say: Say) -> None:
  """Refuses a checkpoint of another run; where the parameters came from stays what the first start said."""
  record.check_same(workdir, old, content)
  content['start_from'], content['began'] = old['start_from'], old.get('began', content['began'])
  content['start_fingerprint'] = old.get('start_fingerprint')
  if changed := record.other_versions(old, content):
    say(f'other versions than before ({changed}): from here on, numbers may differ in their last bits')


def _first_state(
  config: Config,
  stage: Stage,
  programs: Programs,
  mesh: Mesh,
  data: str | None,
  motion: str,
  source: Opened | None,
  say: Say,
) -> TrainState:
  """Draws a fresh state, filled from another run if one is given, and made ready by the first batch if need be."""
  state = programs.init(jax.random.key(config.run.seed))
  by_data = _set_by_data(config, stage, programs)
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
  state = state.replace(model=_started(config, stage, programs, mesh, data, motion, state.model, by_data))
  return state.replace(ema=jax.tree.map(jnp.copy, state.model)) if state.ema else state


def _set_by_data(config: Config, stage: Stage, programs: Programs) -> set[str]:
  """Paths of the parameters that `Stage.start` sets, 'model/...'."""
  if stage.start is None:
    return set()
  batched = lambda field: jax.ShapeDtypeStruct((config.data.batch_size, *field.shape), field.dtype)
  batch = {name: batched(field) for name, field in feed.shapes(config, stage).items()}
  return {f'model/{path}' for path in jax.eval_shape(stage.start, programs.shapes.model, batch)}


def _started(
  config: Config,
  stage: Stage,
  programs: Programs,
  mesh: Mesh,
  data: str | None,
  motion: str,
  model: Any,
  paths: set[str],
) -> Any:
  """The generator side's parameters with those of `paths` as `Stage.start` sets them by the run's first batch."""
  if not paths:
    return model
  with contextlib.closing(_batches(config, stage, data, motion, workers=0, start_step=0)) as batches:
    first = feed.to_device(next(batches), sharding.batch_sharding(mesh))
  old, new = trees.flatten(model), trees.flatten(programs.start(model, first))
  return trees.unflatten({path: (new if f'model/{path}' in paths else old)[path] for path in old})


def _check_frozen(stage: Stage, drawn: Iterable[str], why: str) -> None:
  """Raises UserError if any parameter that is drawn at random here would never be trained."""
  fine = [stage.trainable, *filter(None, (stage.moving, stage.given))]  # an empty `trainable` matches everything
  frozen = sorted(
    path for path in drawn if path.startswith('model/') and not any(re.search(p, path[6:]) for p in fine)
  )
  if frozen:
    raise UserError(f'stage {stage.name} does not train {frozen[0]} and {len(frozen) - 1} more arrays, but {why}; '
                    f'give --from a run of {stage.starts_from or stage.name}')


def _validates(config: Config, stage: Stage, data: str | None) -> bool:
  if not config.log.validate_batches or config.data.synthetic_batch:
    return False
  return bool(stage.held_out) or 'val' in records.splits(data)


def _held_out(config: Config, stage: Stage, data: str | None, motion: str, say: Say) -> list[HostBatch]:
  """The first held-out batches, if there are any: the same at every checkpoint, kept on the host.

  They are of the validation split, or of frames that the stage's own split holds out.
  """
  if not _validates(config, stage, data):
    return []
  with contextlib.closing(_batches(config, stage, data, motion, workers=0, start_step=0, held_out=True)) as batches:
    found = [next(batches) for _ in range(config.log.validate_batches)]
  for text in sorted({str(text) for batch in found for text in batch.get('corrupt', ()) if text}):
    say(f'validation: {text}; other clips take its place (data.on_corrupt=skip)')
  return found


def _batches(
  config: Config, stage: Stage, data: str | None, motion: str, *, workers: int, start_step: int, held_out: bool = False
) -> Iterator[HostBatch]:
  if config.data.synthetic_batch:
    return feed.noise(config, stage, start_step)
  sampler, split = stage.sampler, stage.split
  if held_out:
    sampler, split = (stage.held_out, stage.split) if stage.held_out else (stage.sampler, 'val')
  return loader.make_loader(
    data,
    split=split,
    sampler=sampler,
    image_size=config.model.image_size,
    batch_size=config.data.batch_size,
    seed=config.run.seed,
    start_step=start_step,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
    workers=workers,
    mouth_canvas=config.data.mouth_canvas,
    skip_corrupt=config.data.on_corrupt == 'skip',
    motion=motion,
    **stage.sampling,
  )
