"""A training run from its configuration to its last checkpoint."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax

from edtalk_jax import stages
from edtalk_jax.config import Config
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import checkpoint, cluster, first_state, hooks, origin, record, records_copy, sharding
from edtalk_jax.training import examples as examples_lib
from edtalk_jax.training import hand_off as hand_off_lib
from edtalk_jax.training import programs as programs_lib
from edtalk_jax.training import workdir as workdir_lib
from edtalk_jax.training.checkpoint import Checkpoints
from edtalk_jax.training.fit import fit
from edtalk_jax.training.observe import NOTHING, Observe
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
  devices: Sequence[jax.Device] | None = None,
) -> None:
  """Builds everything that `config` names, and trains until `config.run.steps`, from the newest checkpoint if any.

  Args:
    config: of the run. In a workdir that holds a run already, the same but for steps, logging, workers and mesh.
    workdir: folder of the run's files, which docs/training.md lists, or its URL on object storage.
    data: folder of records, as `edtalk prepare --out` made it, or its URL; None with `data.synthetic_batch`.
    start_from: workdir of an earlier stage's run, whose parameters a new run takes over.
    observe: what to write besides the usual files.
    say: where progress lines go, from process 0.
    devices: to train on; None: all.

  Raises:
    UserError: with one line, before any step, on a mistake in the arguments.
    RunStopped: with one line, after too many updates in a row that were not finite (`config.guard`).
    DataError: on unreadable records.
    Preempted, PeerLost: as terminal.py says.
  """
  say = say if jax.process_index() == 0 else _silence
  mesh = sharding.make_mesh(config.mesh, devices)
  sharding.check_batch(config.data.batch_size, mesh, jax.process_count())
  config = examples_lib.found_from_anywhere(config)
  programs_lib.check_compiler(config)
  stage = stages.build(config)
  programs = programs_lib.build(config, stage, mesh)
  motion = examples_lib.motion_source(config, stage, data, say)
  given, data = data, None if data is None else records_copy.here(data, say)
  content = record.describe(config, origin.describe(config, stage, given, data, start_from, motion))
  cluster.meet(mesh)  # nothing is written before every process has found its arguments right
  with jax.set_mesh(mesh), workdir_lib.opened(workdir, say) as place:
    folder, latest = place.folder, place.resume_step(say)
    if latest is not None:
      _check_resumed(workdir, Shelf(folder).about(latest)['run'], content, say)
    if latest is not None and latest >= config.run.steps:
      say(f'{workdir}: the run is finished ({latest} steps); raise run.steps (--steps) to train longer')
      return
    stopping = hooks.EarlyStopping(config.checkpoint, folder)
    if latest is not None and (why := stopping.reason(latest)):
      say(f'{workdir}: the run is finished ({latest} steps): {why}')
      return
    frozen = programs.place_frozen(hand_off_lib.read_frozen(stage.init_frozen(), stage.reads))
    examples = examples_lib.prepare(config, stage, data, motion, say)
    if latest is not None:
      say(f'resuming at step {latest}')
      state = checkpoint.restore(folder, latest, programs.shapes)
    else:
      source = None if start_from is None else hand_off_lib.open_run(start_from, say=say)
      content['start_fingerprint'] = None if source is None else source.fingerprint
      state = first_state.build(examples, programs, mesh, source, say)
    held_out = examples.held_out(say)
    batches = examples.batches(start_step=int(state.step), workers=config.data.workers)
    _write_record(folder, content)  # from here on the folder holds a run
    say(f'stage {stage.name}, {_count(state)}, mesh {dict(mesh.shape)}{_perceptual(config, stage)}')
    for name, path in examples_lib.beside(config, stage, data).items():
      say(f'{name}: {path or "none"}')
    with Checkpoints(folder, config.checkpoint, content, place.remote) as checkpoints, cluster.collectives():
      actions = hooks.standard(config, stage, programs, frozen, held_out, folder, checkpoints, stopping, say)
      state = fit(
        stage,
        programs,
        state,
        batches,
        actions,
        config=config,
        workdir=folder,
        frozen=frozen,
        began=content['began'],
        observe=observe,
        say=say,
      )
      steps = int(state.step)
  say(f'finished {steps} steps of stage {stage.name}; next: python eval.py --workdir {workdir} --data {given}')


def _silence(line: str) -> None:
  """Where the progress lines of processes other than 0 go."""


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
