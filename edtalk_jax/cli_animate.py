"""The commands that animate portraits; see `cli`."""

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from edtalk_jax.arguments import File, Folder, OptionalFile, OptionalFolder, Text, Which
from edtalk_jax.config import UserError

if TYPE_CHECKING:
  from collections.abc import Container, Iterator, Mapping

  from edtalk_jax.animation.driving import Progress, Say
  from edtalk_jax.model import Model, Motion

Sources = Annotated[tuple[str, ...], tyro.conf.arg(metavar='FILE [...]', help_behavior_hint='(at least one)')]
Expression = Annotated[str | None, tyro.conf.arg(metavar='FILE_OR_PRESETS', help_behavior_hint='(optional)')]


def animate(
  model: Folder,
  source: Sources,
  out: File,
  mouth: OptionalFile = None,
  pose: OptionalFile = None,
  expression: Expression = None,
  driver: OptionalFile = None,
  audio: OptionalFile = None,
  audio_model: OptionalFolder = None,
  pose_model: OptionalFolder = None,
  expression_model: OptionalFolder = None,
  text: Text = '',
  seed: int = 0,
  save_motion: OptionalFile = None,
  fps: float = 25,
  extend: Literal['hold', 'pingpong', 'loop', 'stop'] = 'hold',
  smooth: float = 0,
  crop: bool = True,
  face: str = 'largest',
  paste: bool = False,
  longest: int = 1920,
  upscale: OptionalFile = None,
  upscale_signed: bool = False,
  which: Which = 'latest',
  raw: bool = False,
  batch: int = 8,
) -> None:
  """Animates a portrait with the motion of videos, sound and motion files; the result has the mouth driver's sound.

  Example: edtalk animate --model runs/mouth_pose --source portrait.png --mouth talk.mp4 --pose nod.mp4 --out x.mp4

  The mouth driver sets the length. Motion that nothing drives stays as in the source. docs/animation.md explains all.

  Args:
    model: Folder of the run, as train.py wrote it.
    source: Portrait image, or a video whose face is painted anew in every frame; or several.
    out: The MP4 to write; of several sources, the folder for one each.
    mouth: Video, image, sound or motion file (.npz) whose mouth the portrait takes.
    pose: Video, image or motion file whose head pose it takes; still: the portrait's own. So with every space.
    expression: Video, image or motion file whose expression it takes, or presets such as happy:0.7+surprised:0.3,
      strengths above neutral (extract-presets makes them).
    driver: The same for every motion space that is not given its own.
    audio: Sound of the result, in place of the driver's; drives the mouth too where nothing else does.
    audio_model: Folder of a run of stage audio_to_mouth, where --model is of another stage.
    pose_model: Folder of a run of stage audio_to_pose, which makes up a head pose for the sound.
    expression_model: Folder of a run of stage semantic_expression, which sets the expression by sound and --text.
    text: What is said.
    seed: Of the made up head pose; another gives another.
    save_motion: Motion file to write, which --mouth, --pose, --expression and --driver replay.
    fps: Frames per second of the result.
    extend: How a driver goes on that is shorter than the result: hold its last frame, back and forth, or again; or stop
      with the shortest.
    smooth: Smooth all motion in time by a Gaussian of so many frames.
    crop: Find the face in every input and frame it as in training; needs the extra [faces].
    face: Which face of a portrait: largest, only (several are an error), or 1, 2, ... from left to right.
    paste: Put the painted face back into the whole picture.
    longest: With --paste, scale larger pictures down to so many pixels.
    upscale: ONNX file of a super-resolution network for the painted face; needs the extra [upscale].
    upscale_signed: Its pictures are in [-1, 1], rather than in [0, 1].
    which: The newest checkpoint, or the one of the lowest validation loss.
    raw: Take the parameters themselves, not the average that a run with optimizer.ema keeps.
    batch: Frames per call, shared by the devices.
  """
  from edtalk_jax import animation

  if not source:
    raise UserError('edtalk animate: give at least one --source')
  options = animation.Options(
    fps=fps,
    extend=extend,
    smooth=smooth,
    crop=crop,
    face=face,
    paste=paste,
    longest=longest,
    upscale=upscale or '',
    upscale_signed=upscale_signed,
  )
  loaded = load(model, audio_model, which, raw=raw, batch=batch)
  weights = preset_weights(model, loaded, expression)
  named = {'mouth': mouth, 'pose': pose, 'expression': None if weights else expression}
  drivers = {bank: path for bank, path in named.items() if path}
  runs = {'pose': pose_model, 'expression': expression_model}
  made = made_up(audio or mouth or driver, {**drivers, **weights}, runs, source[0], crop=crop, text=text, seed=seed)
  with made as further, _shown() as (say, progress):
    done = animation.animate(
      loaded,
      source[0] if len(source) == 1 else source,
      drivers | further,
      out,
      driver=driver,
      audio=audio,
      weights=weights,
      save_motion=save_motion,
      options=options,
      say=say,
      progress=progress,
    )
  for one in done:
    sound = 'with sound' if one.sound else 'silent'
    print(f'wrote {one.path}: {one.frames} frames, {one.seconds:.2f} s at {fps:g} frames/s, {sound}')


def load(model: str, audio_model: str | None, which: Which, *, raw: bool, batch: int) -> 'Model':
  """Loads what paints, on all devices of the machine, with the ears of another run if one is named."""
  import jax

  from edtalk_jax import model as model_lib

  if batch < 1:
    raise UserError(f'--batch must be at least 1, got {batch}')
  devices = jax.local_devices()
  batch = -(-batch // len(devices)) * len(devices)
  loaded = model_lib.load(model, which, raw=raw, batch_size=batch, devices=devices)
  if audio_model is not None:
    loaded = loaded.hearing_with(model_lib.load(audio_model, which, raw=raw))
  return loaded


def preset_weights(model: str, loaded: 'Model', expression: str | None) -> 'Motion':
  """The weights of a mixture of presets, by their bank; none where `expression` is a file, or nothing."""
  from edtalk_jax.animation import drivers, presets

  if expression in (None, drivers.STILL) or os.path.exists(expression) or not presets.is_mixture(expression):
    return {}
  return {presets.BANK: presets.read(model, loaded).mix(expression)}


@contextlib.contextmanager
def made_up(
  sound: str | None, driven: 'Container[str]', runs: 'Mapping[str, str | None]', source: str, **settings: Any
) -> 'Iterator[dict[str, str]]':
  """Yields motion space -> file of the motion that runs make up for a sound; the files are gone afterwards.

  Args:
    sound: what it is made up for.
    driven: spaces that have drivers.
    runs: space -> run that makes up its motion, if any.
    source: portrait whose pose the head leaves, if it is a picture.
    settings: of `making.Settings`.

  Raises:
    UserError: if there is no sound, or a space has a driver already.
  """
  runs = {bank: run for bank, run in runs.items() if run}
  if twice := [bank for bank in runs if bank in driven]:
    raise UserError(f'--{twice[0]} and --{twice[0]}-model: give one of them')
  if not runs:
    yield {}
    return
  if sound is None:
    raise UserError(f'--{next(iter(runs))}-model: makes up motion for a sound; give --audio')
  from edtalk_jax.animation import making

  with tempfile.TemporaryDirectory() as folder:
    yield making.drivers(sound, folder, runs, source, **settings)


@contextlib.contextmanager
def _shown() -> 'Iterator[tuple[Say, Progress]]':
  """Yields what shows lines and progress on the terminal."""
  import rich.console
  import rich.progress

  console = rich.console.Console(highlight=False, markup=False, soft_wrap=True)
  with rich.progress.Progress(console=console, transient=True) as bar:
    task = bar.add_task('animating', total=None)
    yield console.print, lambda done, total: bar.update(task, completed=done, total=total)


def web(
  model: Folder,
  audio_model: OptionalFolder = None,
  pose_model: OptionalFolder = None,
  expression_model: OptionalFolder = None,
  host: str = '127.0.0.1',
  port: int = 7860,
  seconds: float = 60,
  megabytes: int = 100,
  waiting: int = 8,
  minutes: float = 60,
  which: Which = 'latest',
  raw: bool = False,
  batch: int = 8,
) -> None:
  """Opens a page for the browser that animates portraits: upload or record, choose what moves them, look, download.

  Example: edtalk web --model runs/mouth_pose

  Needs the extra [web]. docs/web.md says what is on the page, and who can reach it.

  Args:
    model: Folder of the run, as train.py wrote it.
    audio_model: Folder of a run of stage audio_to_mouth, where --model is of another stage.
    pose_model: Folder of a run of stage audio_to_pose, which makes up a head pose for a sound.
    expression_model: Folder of a run of stage semantic_expression, which sets the expression by sound and words.
    host: Address to listen at; with the default, nobody on other machines reaches the page.
    port: To listen at.
    seconds: Longest file that is taken, and so the longest result.
    megabytes: Largest file that is taken.
    waiting: How many visitors may wait for their turn; one is served at a time.
    minutes: How long files of visitors and results are kept.
    which: The newest checkpoint, or the one of the lowest validation loss.
    raw: Take the parameters themselves, not the average that a run with optimizer.ema keeps.
    batch: Frames per call, shared by the devices.
  """
  from edtalk_jax.web import server
  from edtalk_jax.web.service import Limits

  limits = Limits(seconds=seconds, megabytes=megabytes, waiting=waiting, minutes=minutes)
  loaded = load(model, audio_model, which, raw=raw, batch=batch)
  makers = {bank: run for bank, run in (('pose', pose_model), ('expression', expression_model)) if run}
  server.serve(loaded, model, host=host, port=port, limits=limits, makers=makers)


def extract_presets(
  model: Folder,
  data: Folder,
  split: str = 'train',
  frames: int = 10,
  which: Which = 'latest',
  batch: int = 8,
) -> None:
  """Averages a model's expression weights by emotion, for edtalk animate --expression happy:0.7.

  Example: edtalk extract-presets --model runs/expression --data records

  Writes MODEL/presets.json. docs/stages/expression.md explains how strengths are counted.

  Args:
    model: Folder of a run of stage expression, as train.py wrote it.
    data: Folder of records with emotions, as `edtalk prepare` wrote it.
    split: Split of the records.
    frames: Frames read of each clip, evenly spaced.
    which: The newest checkpoint, or the one of the lowest validation loss.
    batch: Frames per device call.
  """
  from data_pipeline.records import Clips
  from edtalk_jax import model as model_lib
  from edtalk_jax.animation import presets

  if frames < 1:
    raise UserError(f'--frames must be at least 1, got {frames}')
  found = presets.extract(model_lib.load(model, which, batch_size=batch), Clips(data, split), frames)
  print(f'wrote {presets.write(found, model)}: expression weights at step {found.step}, split {split}')
  for name, preset in found.emotions.items():
    print(
      f'  {name}: {found.distance(name):.2f} from neutral, {preset.clips} clips of {preset.people} people that '
      f'spread by {preset.radius:.2f}'
    )
  print(
    f'next: edtalk animate --model {model} --source portrait.png --driver talk.mp4 --expression happy:0.7 --out x.mp4'
  )
