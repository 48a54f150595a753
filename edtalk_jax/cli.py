"""The `edtalk` command. Each subcommand is a few lines over the library, imported only when it is chosen."""

import functools
import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import tyro

from edtalk_jax.arguments import File, Folder, OptionalFile, OptionalFolder, Overrides, Which
from edtalk_jax.cli_animate import animate, extract_presets, web
from edtalk_jax.cli_data import data_report, prepare
from edtalk_jax.cli_motion import extract_features, make_motion
from edtalk_jax.cli_reproduce import reproduce
from edtalk_jax.cli_weights import download_weights, export_model, export_weights, import_weights
from edtalk_jax.config import UserError
from edtalk_jax.terminal import run_main

Steps = Annotated[int | None, tyro.conf.arg(metavar='N', help_behavior_hint="(default: the config's)")]
Window = Annotated[str | None, tyro.conf.arg(metavar='FIRST:LAST', help_behavior_hint='(optional)')]
From = Annotated[str | None, tyro.conf.arg(name='from', metavar='DIR', help_behavior_hint='(optional)')]
Stages = Annotated[tuple[str, ...], tyro.conf.arg(metavar='STAGE [...]', help_behavior_hint='(default: all)')]
Machine = Annotated[str, tyro.conf.arg(metavar='CHIP:SHAPE')]
Batches = Annotated[tuple[int, ...], tyro.conf.arg(metavar='N [...]', help_behavior_hint="(default: the config's)")]
MeshText = Annotated[str | None, tyro.conf.arg(metavar='AXIS=N,...', help_behavior_hint="(default: the config's)")]


def make_synthetic(
  out: Folder,
  clips: int = 32,
  size: int = 64,
  seed: int = 0,
  identities: int = 8,
  frames: int = 75,
  framing: float = 1.0,
  articulation: float = 1.0,
  prosody: float = 0.0,
  expressiveness: float = 1.0,
  sway: float = 1.0,
  swing: float = 0.0,
  mp4: bool = False,
  workers: int = 2,
) -> None:
  """Renders talking heads with known factors, as records that training reads; needs no video.

  Example: edtalk make-synthetic --clips 32 --size 64 --seed 0 --out records

  The same arguments give the same bytes on every machine. docs/synthetic.md explains faces, factors and guarantees.

  Args:
    out: Folder of the records.
    clips: How many clips; each shows one person who feels one emotion.
    size: Side of the frames in pixels, even.
    seed: Of people, speech and motion.
    identities: How many people; a person is in one split only, 3 are needed for all splits.
    frames: Of each clip, 25 a second.
    framing: How large heads are, 0.5 to 1.5; 1 shows hair and shoulders, 1.4 fills the picture with the face.
    articulation: How wide mouths open when they speak, 0 to 3; 1 as in ordinary speech.
    prosody: How much of an emotion is heard in the voice, 0 to 1.
    expressiveness: How far faces move when they feel, 0 to 3; 1 as people do.
    sway: How much heads move, 0 to 1; 1 as in talk, 0.4 as before a camera in a studio.
    swing: How much of an emotion comes and goes within a clip, 0 to 1.
    mp4: Also write OUT/videos, which edtalk prepare reads: videos, their landmarks and clips.csv.
    workers: Processes; 0 works in this one.
  """
  import rich.console
  import rich.progress

  from data_pipeline.datasets import synthetic
  from data_pipeline.synthetic.clip import Plan

  try:
    plan = Plan(
      clips=clips,
      size=size,
      seed=seed,
      people=identities,
      frames=frames,
      framing=framing,
      articulation=articulation,
      prosody=prosody,
      expressiveness=expressiveness,
      sway=sway,
      swing=swing,
    )
  except ValueError as error:
    raise UserError(f'--{error}') from None
  console = rich.console.Console(stderr=True, highlight=False)
  with rich.progress.Progress(console=console, transient=True) as bar:
    task = bar.add_task('rendering', total=clips)
    done = synthetic.make(plan, out, mp4=mp4, workers=workers, done=lambda count: bar.update(task, completed=count))
  print(f'wrote {out}: {clips} clips, {clips * frames} frames of {identities} people')
  for split, count in done.items():
    print(f'  {split}: {count} clips')
  if mp4:
    print(f'videos: {out}/{synthetic.VIDEOS}')
  print(f'next: edtalk train --config configs/tiny.py --workdir runs/first --data {out}')


def train(
  config: File,
  workdir: Folder,
  data: OptionalFolder = None,
  steps: Steps = None,
  start_from: From = None,
  settings: Overrides = (),
  distributed: bool = False,
  profile: Window = None,
  dump_hlo: OptionalFolder = None,
) -> None:
  """Trains one stage until its last step, going on from the newest checkpoint in the workdir.

  Example: edtalk train --config configs/tiny.py --workdir runs/first --data records --set optimizer.beta2=0.9

  The root's train.py is the same command. docs/training.md explains stages, options and the files of a run.

  Args:
    config: Python file with get_config(); configs/ holds those that are shipped.
    workdir: Folder of the run, or its URL (gs://, s3://); run the same command again to resume it.
    data: Folder of records, as `edtalk prepare` wrote it, or its URL; not needed with --set data.synthetic_batch=True.
    steps: Train until this step.
    start_from: Folder of an earlier stage's run, whose parameters a new run takes over.
    settings: Fields of the config to replace, e.g. run.stage=mouth_pose data.batch_size=16.
    distributed: Join the processes of this TPU pod or SLURM job; others are named in the environment.
    profile: First and last step of a window that JAX's profiler traces into WORKDIR/profile.
    dump_hlo: Folder for the text of the train step, as it was traced and as XLA has compiled it.
  """
  from edtalk_jax import settings as settings_lib
  from edtalk_jax.training import cluster, observe
  from edtalk_jax.training import train as training

  overrides = [*itertools.chain(*settings), *([] if steps is None else [f'run.steps={steps}'])]
  chosen = settings_lib.load(config, overrides)
  watch = observe.Observe(profile=None if profile is None else observe.window(profile), hlo=dump_hlo)
  with cluster.joined(detect=distributed):
    training.train(chosen, workdir, data, start_from=start_from, observe=watch)


def train_all(
  config: File,
  data: Folder,
  out: Folder,
  only: Stages = (),
  until: str = '',
  settings: Overrides = (),
  measure: bool = True,
  split: str = 'test',
  clips: int = 100,
  held_out: OptionalFolder = None,
  distributed: bool = False,
) -> None:
  """Trains every stage in order, each from those before it, and measures each; a combined report is written.

  Example: edtalk train-all --config configs/tiny_chain.py --data records --out runs/tiny

  Run the same command again to go on where it was stopped; finished stages are skipped. docs/chain.md says more.

  Args:
    config: Python file whose get_config() returns a Chain; configs/chain.py is the whole of it.
    data: Folder of records, as `edtalk prepare` wrote it.
    out: Folder of the runs, each in a folder with its stage's name, and of report.html and chain.json.
    only: Stages to run; those that they need must have been run.
    until: Last stage to run.
    settings: Fields to replace in every config, e.g. data.workers=8, or in one: mouth_pose:run.steps=8000.
    measure: Evaluate each stage when it is trained.
    split: Split of the records that stages are measured on.
    clips: Clips of each evaluation, people in turn; 0 takes all.
    held_out: Other records to measure on.
    distributed: Join the processes of this TPU pod or SLURM job, as in edtalk train.
  """
  from edtalk_jax.chain import plan, run
  from edtalk_jax.training import cluster

  chain = plan.load(config, [*itertools.chain(*settings)])
  chosen = run.Measure(split=split, clips=clips, data=held_out) if measure else None
  with cluster.joined(detect=distributed):
    run.run(chain, data, out, only=only, until=until or None, measure=chosen)


def evaluate(
  workdir: Folder,
  data: Folder,
  split: str = 'test',
  which: Which = 'latest',
  raw: bool = False,
  out: OptionalFolder = None,
  clips: int = 100,
  frames: int = 10,
  seed: int = 0,
  landmarks: bool = True,
  leakage: bool = True,
  videos: int = 20,
  judges: OptionalFolder = None,
  same_as: OptionalFile = None,
  paintings: bool = False,
) -> None:
  """Measures a trained model on held-out clips and writes metrics.json and report.html.

  Example: edtalk eval --workdir runs/mouth_pose --data records

  The root's eval.py is the same command. docs/evaluation.md defines every number.

  Args:
    workdir: Folder of the run, as train.py wrote it.
    data: Folder of records, as `edtalk prepare` wrote it.
    split: Split of the records; its people should not have been trained on.
    which: The newest checkpoint, or the one of the lowest validation loss.
    raw: Take the parameters themselves, not the average that a run with optimizer.ema keeps.
    out: Folder for both files, instead of WORKDIR/eval/SPLIT/metrics.json and WORKDIR/report.html.
    clips: Clips of each protocol, people in turn; 0 takes all.
    frames: Frames of each clip, evenly spaced; 0 takes all.
    seed: Of the choice of clips and drivers.
    landmarks: Measure landmark metrics too, which need the extra [faces].
    leakage: Measure how far the motion spaces are apart.
    videos: Clips whose consecutive frames are measured too: flicker, lip synchrony, emotion; 0 takes none.
    judges: Folder with other people's networks, for LPIPS, FID, Sync-C and so on; docs/metrics.md names the files.
    same_as: The test_list.json of another evaluation, to measure exactly the same.
    paintings: Measure what a run of audio_to_mouth or personalize paints, by the protocols of all models, instead of
      its stage's own table. Adds a row whose mouth is driven by the sound.
  """
  from edtalk_jax.evaluation import run
  from edtalk_jax.evaluation.evaluate import Settings

  settings = Settings(clips=clips, frames=frames, seed=seed, videos=videos)
  run.run(
    workdir,
    data,
    split=split,
    which=which,
    raw=raw,
    out=out,
    settings=settings,
    landmarks=landmarks,
    leakage=leakage,
    judges=judges,
    same_as=same_as,
    paintings=paintings,
  )


def extract_motion(
  model: Folder,
  data: Folder,
  split: str = 'all',
  which: Which = 'latest',
  batch: int = 32,
  workers: int = 2,
) -> None:
  """Reads the motion weights of every frame of a data set, which later stages learn from.

  Example: edtalk extract-motion --model runs/mouth_pose --data records

  Writes DATA/motion/FINGERPRINT/SPLIT. Training with data.motion does the same where they are missing.

  Args:
    model: Folder of a run, as train.py wrote it.
    data: Folder of records, as `edtalk prepare` wrote it.
    split: Split of the records, or all.
    which: The newest checkpoint, or the one of the lowest validation loss.
    batch: Frames per device call.
    workers: Threads that decode pictures.
  """
  from data_pipeline import records
  from edtalk_jax.training import extraction, hand_off

  source = hand_off.open_run(model, which, parts=('model',))
  splits = records.splits(data) if split == 'all' else (split,)
  folder = extraction.ensure(source, data, splits, batch=batch, workers=workers)
  print(f'{folder} has the motion weights of {", ".join(splits)}, by {model} at step {source.step}')


def compile_report(
  config: File,
  topology: Machine,
  slices: int = 1,
  batch_size: Batches = (),
  mesh: MeshText = None,
  settings: Overrides = (),
  prices: OptionalFile = None,
  out: OptionalFolder = None,
  hlo: OptionalFolder = None,
) -> None:
  """Says whether a training step fits a machine, how fast it will be and what it costs, without the machine.

  Example: edtalk compile-report --config configs/mouth_pose.py --topology v5e:16x16 --batch-size 512

  TPUs: compiled ahead of time by their own compiler, which needs the extra [tpu-aot] and minutes. GPUs, such as h200:8:
  a floor from shapes. docs/compile-report.md explains every number.

  Args:
    config: Python file with get_config(); configs/ holds those that are shipped.
    topology: v4, v5e, v5p, v6e, tpu7x and the shape of a slice, e.g. v5e:16x16; or a100, h100, h200 and a number.
    slices: TPU slices, connected by the data-centre network.
    batch_size: Global batches; each is compiled, and the largest one that fits is estimated.
    mesh: Device mesh, e.g. data=256,fsdp=1.
    settings: Fields of the config to replace, e.g. model.dtype=bfloat16.
    prices: TOML file of prices in place of the shipped one.
    out: Folder for each report as JSON and Markdown.
    hlo: Folder for the text of each compiled program.
  """
  from edtalk_jax.reporting import prices as prices_lib
  from edtalk_jax.reporting import topology as topology_lib

  machine = topology_lib.parse(topology, slices)
  table = prices_lib.load(prices)
  if machine.chip.platform == 'tpu':
    topology_lib.prepare()
  from edtalk_jax.reporting import run  # imports JAX, whose platform is chosen now

  run.write(config, [*itertools.chain(*settings)], mesh, batch_size, machine, table, out=out, hlo=hlo)


# In the order in which they are used.
COMMANDS = {
  'make-synthetic': make_synthetic,
  'prepare': prepare,
  'data-report': data_report,
  'compile-report': compile_report,
  'train': train,
  'extract-motion': extract_motion,
  'extract-features': extract_features,
  'train-all': train_all,
  'make-motion': make_motion,
  'reproduce': reproduce,
  'eval': evaluate,
  'extract-presets': extract_presets,
  'animate': animate,
  'web': web,
  'download-weights': download_weights,
  'import-weights': import_weights,
  'export-weights': export_weights,
  'export-model': export_model,
}


def overview() -> str:
  """Returns the page that `edtalk --help` prints."""
  width = max(map(len, COMMANDS))
  lines = [f'  {name:<{width}}  {function.__doc__.splitlines()[0]}' for name, function in COMMANDS.items()]
  return '\n'.join(
    [
      'usage: edtalk COMMAND ...',
      '',
      'From raw video to an animated portrait, in this order:',
      '',
      *lines,
      '',
      'edtalk COMMAND --help explains a command and gives an example.',
    ]
  )


def main(arguments: Sequence[str] | None = None) -> None:
  """Entry point of the `edtalk` command."""
  run_main(lambda: dispatch(list(sys.argv[1:] if arguments is None else arguments)))


def dispatch(arguments: list[str]) -> None:
  """Runs the command that the first argument names. Raises UserError if there is no such command."""
  if not arguments or arguments[0] in ('-h', '--help', 'help'):
    print(overview())
    return
  command, values = parse(arguments)
  command(**values)


def parse(arguments: Sequence[str]) -> tuple[Callable[..., None], dict[str, Any]]:
  """Returns the function of a command line, and its arguments by name. Runs nothing.

  Raises:
    UserError: if there is no such command.
    SystemExit: after a message, on options that the command does not have, and after --help.
  """
  name, *rest = arguments
  if name not in COMMANDS:
    raise UserError(f'edtalk {name}: no such command; there are {", ".join(COMMANDS)}')

  @functools.wraps(COMMANDS[name])
  def given(**values: Any) -> dict[str, Any]:
    return values

  return COMMANDS[name], tyro.cli(given, prog=f'edtalk {name}', args=rest)


if __name__ == '__main__':
  main()
