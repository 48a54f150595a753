"""Damaged runs, read and resumed.

A run with three checkpoints of known arrays is copied, one to three things in it are damaged, and then it is read the
way `eval.py` and `--from` read it, and resumed the way `train.py` resumes it. Every restored array must be the one that
was saved at the step that the restored state claims, and whoever damages the newest checkpoint must be told.
"""

import functools
import pathlib
import random
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

from benchmarks.fuzz.damage import OF_FILES, Damage
from benchmarks.fuzz.trial import REFUSED, TRACEBACK, WRONG, Trial, Wrong, judge
from edtalk_jax.config import CheckpointConfig, Config, RunConfig
from edtalk_jax.training import checkpoint, hand_off, metrics, record
from edtalk_jax.training import state as state_lib
from edtalk_jax.training.shelf import FOLDER
from edtalk_jax.training.state import TrainState

STEPS = (10, 20, 30)
UNTOUCHED, EARLIER = 'not touched', 'earlier checkpoint, named'
OUTCOMES = (UNTOUCHED, EARLIER, REFUSED, WRONG, TRACEBACK)


def make_state(step: int) -> TrainState:
  """A small state whose arrays follow from `step` alone."""
  rng = np.random.default_rng(step)
  network = lambda: {f'layer_{i}': {'kernel': rng.normal(size=(8, 16)).astype(np.float32)} for i in range(3)}
  optimizer = optax.adam(1e-3)
  state = state_lib.create({'model': network(), 'discriminator': network()}, '', optimizer, optimizer)
  noise = lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype) if leaf.ndim else np.int32(step)
  return jax.tree.map(noise, state).replace(step=np.int32(step))


def make_run(workdir: pathlib.Path) -> None:
  """Writes a run as train.py does, without training."""
  config = Config(run=RunConfig(steps=100))
  content = record.describe(
    config,
    {
      'stage': config.run.stage,
      'start_from': None,
      'perceptual_features': 'none',
      'data': {'path': 'records', 'fingerprint': 'none'},
    },
  )
  record.write(workdir, content)
  with metrics.MetricLog(workdir, 0, enabled=True) as log:
    for step in range(1, STEPS[-1] + 1):
      log.write(step, {'loss': 1 / step})
  with checkpoint.Checkpoints(workdir, CheckpointConfig(keep=len(STEPS)), content) as checkpoints:
    for step in STEPS:
      checkpoints.save(jax.device_put(make_state(step)), validation_loss=1.0 / step)


def damage(workdir: pathlib.Path, rng: random.Random) -> str:
  """Damages one thing in a run; returns what was done."""
  kind = rng.choice(sorted(DAMAGES))
  # Mostly the newest checkpoint, whose damage matters most; config.json and metrics.jsonl lie beside the checkpoints.
  folder = workdir / FOLDER / str(rng.choice((*STEPS, STEPS[-1], STEPS[-1], STEPS[-1])))
  inside = sorted(path for path in folder.rglob('*') if path.is_file())
  files = [*inside, *(path for path in (workdir / record.FILE, workdir / metrics.FILE) if path.exists())]
  if len([path for path in inside if path.parent != folder]) < 2:
    return 'nothing left to damage'
  victim = rng.choice(files)
  DAMAGES[kind](victim if kind in OF_FILES else folder, rng)
  return f'{kind}: {(victim if kind in OF_FILES else folder).relative_to(workdir)}'


def _remove_part(folder: pathlib.Path, rng: random.Random) -> None:
  shutil.rmtree(rng.choice([path for path in folder.iterdir() if path.is_dir()]))


def _swap_parts(folder: pathlib.Path, rng: random.Random) -> None:
  one, two = rng.sample(sorted(path for path in folder.iterdir() if path.is_dir()), 2)
  one.rename(folder / 'other')
  two.rename(one)
  (folder / 'other').rename(two)


def _other_step(folder: pathlib.Path, rng: random.Random) -> None:
  folder.rename(folder.with_name(str(int(folder.name) + rng.randrange(1, 9))))


def _half_saved(folder: pathlib.Path, rng: random.Random) -> None:
  copy = folder.with_name(f'40.part{rng.choice(("", ".orbax-checkpoint-tmp"))}')
  if not copy.exists():
    shutil.copytree(folder, copy)


def _empty(folder: pathlib.Path, rng: random.Random) -> None:
  shutil.rmtree(folder)
  folder.mkdir()


def _file_instead(folder: pathlib.Path, rng: random.Random) -> None:
  shutil.rmtree(folder)
  folder.write_bytes(rng.randbytes(100))


DAMAGES: dict[str, Damage] = {
  **OF_FILES,
  'remove part': _remove_part,
  'swap parts': _swap_parts,
  'rename to another step': _other_step,
  'half a save beside it': _half_saved,
  'empty checkpoint': _empty,
  'file instead of checkpoint': _file_instead,
}


def read(workdir: pathlib.Path, said: list[str]) -> tuple[int, bool]:
  """Reads the run as inference does. Returns the step, and whether its arrays are those saved at that step."""
  opened = hand_off.open_run(str(workdir), parts=('model',), say=said.append)
  wanted = {'model': abstract(make_state(opened.step).model)}
  return opened.step, _equal(checkpoint.read_parts(opened.path, wanted)['model'], make_state(opened.step).model)


def resume(workdir: pathlib.Path, said: list[str]) -> tuple[int, bool]:
  """Resumes the run as train.py does. Returns the step, and whether the state is the one saved at that step."""
  step = checkpoint.resume_step(workdir, said.append)
  if step is None:
    return 0, not (workdir / FOLDER).is_dir()  # starting from scratch is right only if nothing was ever saved
  state = checkpoint.restore(workdir, step, abstract(make_state(step)))
  with metrics.MetricLog(workdir, step, enabled=True, say=said.append):
    pass
  logged = [line['step'] for line in metrics.read_lines(workdir / metrics.FILE) if line]
  right = step in STEPS and _equal(state, make_state(step)) and max(logged, default=0) <= step
  return step, right and len(logged) == len(set(logged))


def trial(pristine: pathlib.Path, folder: pathlib.Path, seed: int) -> Trial:
  """Damages a copy of the run `pristine` as `seed` says, then reads and resumes it."""
  rng = random.Random(seed)
  shutil.copytree(pristine, folder)
  done = [damage(folder, rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
  ways = {'read': read, 'resume': resume}
  return judge(done, {name: functools.partial(_attempt, folder, way) for name, way in ways.items()})


def _attempt(folder: pathlib.Path, way: Callable[[pathlib.Path, list[str]], tuple[int, bool]]) -> str:
  said: list[str] = []
  step, right = way(folder, said)
  if not right:
    raise Wrong(f'step {step} has other arrays or lines than were saved; said {said}')
  if step == STEPS[-1]:
    return UNTOUCHED
  if not any('damaged' in line for line in said):
    raise Wrong(f'step {step} without a word')
  return EARLIER


def abstract(tree: Any) -> Any:
  """The shapes and types of `tree`, on the first device."""
  sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)


def _equal(found: Any, saved: Any) -> bool:
  pairs = zip(jax.tree.leaves(found), jax.tree.leaves(saved), strict=True)
  return all(np.array_equal(a, b) for a, b in pairs)
