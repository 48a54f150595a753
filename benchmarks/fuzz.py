"""Damages runs at random and reads them again: nothing may be silently wrong, nothing may end in a traceback.

python -m benchmarks.fuzz --count 200 --seed 0

A run with three checkpoints of known arrays is copied, one to three things in it are damaged, and then it is read the
way `eval.py` and `--from` read it, and resumed the way `train.py` resumes it. Every restored array must be the one that
was saved at the step that the restored state claims, and whoever damages the newest checkpoint must be told.
"""

import argparse
import collections
import dataclasses
import pathlib
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import optax

from edtalk_jax.config import CheckpointConfig, Config, RunConfig, UserError
from edtalk_jax.training import checkpoint, hand_off, metrics, record
from edtalk_jax.training import state as state_lib
from edtalk_jax.training.shelf import FOLDER
from edtalk_jax.training.state import TrainState

STEPS = (10, 20, 30)
OUTCOMES = ('not touched', 'earlier checkpoint, named', 'refused in one line', 'WRONG', 'TRACEBACK')
UNTOUCHED, EARLIER, REFUSED, WRONG, TRACEBACK = OUTCOMES


@dataclasses.dataclass(frozen=True)
class Trial:
  """One damaged run and what became of it: an outcome for each way to read it, with the detail of bad ones."""

  damage: tuple[str, ...]
  outcomes: dict[str, str]
  details: tuple[str, ...]


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
  content = record.describe(config, {'stage': config.run.stage, 'start_from': None, 'perceptual_features': 'none',
                                     'data': {'path': 'records', 'fingerprint': 'none'}})
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


def _flip(path: pathlib.Path, rng: random.Random, count: int = 1) -> None:
  content = bytearray(path.read_bytes() or b'\0')
  for _ in range(count):
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
  path.write_bytes(content)


def _cut(path: pathlib.Path, rng: random.Random) -> None:
  content = path.read_bytes()
  path.write_bytes(content[:rng.randrange(len(content))] if content else b'')


def _from_older(path: pathlib.Path, rng: random.Random) -> None:
  """Puts another checkpoint's file of the same name in its place, or one of the same folder."""
  others = [p for p in path.parents[1].rglob('*') if p.is_file() and p != path]
  same = [p for p in others if p.name == path.name]
  shutil.copyfile(rng.choice(same or others), path)


def _folder_instead(path: pathlib.Path, rng: random.Random) -> None:
  path.unlink()
  path.mkdir()


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


OF_FILES: dict[str, Callable[[pathlib.Path, random.Random], None]] = {
  'flip a bit': _flip,
  'flip 20 bits': lambda path, rng: _flip(path, rng, 20),
  'cut short': _cut,
  'empty file': lambda path, rng: path.write_bytes(b''),
  'remove file': lambda path, rng: path.unlink(),
  'zeros': lambda path, rng: path.write_bytes(bytes(path.stat().st_size)),
  'random bytes': lambda path, rng: path.write_bytes(rng.randbytes(max(1, path.stat().st_size))),
  'longer': lambda path, rng: path.write_bytes(path.read_bytes() + rng.randbytes(7)),
  'another file instead': _from_older,
  'folder instead of file': _folder_instead,
}
DAMAGES: dict[str, Callable[[pathlib.Path, random.Random], None]] = {
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
  done = tuple(damage(folder, rng) for _ in range(rng.choice((1, 1, 1, 2, 3))))
  outcomes, details = {}, []
  for name, function in (('read', read), ('resume', resume)):
    outcomes[name], detail = _outcome(folder, function)
    if detail:
      details.append(f'{name}: {detail}')
  return Trial(done, outcomes, tuple(details))


def _outcome(folder: pathlib.Path, function: Callable[[pathlib.Path, list[str]], tuple[int, bool]]) -> tuple[str, str]:
  said: list[str] = []
  try:
    step, right = function(folder, said)
  except UserError as error:
    return (REFUSED, '') if '\n' not in str(error) else (TRACEBACK, f'more than one line: {error}')
  except OSError as error:
    # `terminal.run_main` makes one line of these.
    return (REFUSED, '') if error.filename else (TRACEBACK, repr(error))
  except Exception as error:  # the finding that this program is for
    return TRACEBACK, f'{type(error).__name__}: {error}'
  if not right:
    return WRONG, f'step {step} has other arrays or lines than were saved; said {said}'
  if step == STEPS[-1]:
    return UNTOUCHED, ''
  return (EARLIER, '') if any('damaged' in line for line in said) else (WRONG, f'step {step} without a word')


def abstract(tree: Any) -> Any:
  """The shapes and types of `tree`, on the first device."""
  sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)


def _equal(found: Any, saved: Any) -> bool:
  pairs = zip(jax.tree.leaves(found), jax.tree.leaves(saved), strict=True)
  return all(np.array_equal(a, b) for a, b in pairs)


def fuzz(count: int, seed: int) -> list[Trial]:
  """Runs `count` trials, the i-th from seed + i."""
  with tempfile.TemporaryDirectory() as name:
    pristine = pathlib.Path(name) / 'pristine'
    make_run(pristine)
    trials = []
    for number in range(seed, seed + count):
      folder = pathlib.Path(name) / str(number)
      trials.append(trial(pristine, folder, number))
      shutil.rmtree(folder)
  return trials


def table(trials: Sequence[Trial]) -> str:
  """Counts outcomes by what was damaged first."""
  counts = collections.defaultdict(collections.Counter)
  for found in trials:
    for outcome in found.outcomes.values():
      counts[found.damage[0].partition(':')[0]][outcome] += 1
      counts['all'][outcome] += 1
  rows = [f'| {"first damage":27} | ' + ' | '.join(OUTCOMES) + ' |', '| --- ' * (len(OUTCOMES) + 1) + '|']
  for kind in [*sorted(counts.keys() - {'all'}), 'all']:
    rows.append(f'| {kind:27} | ' + ' | '.join(f'{counts[kind][name]:{len(name)}}' for name in OUTCOMES) + ' |')
  return '\n'.join(rows)


def main() -> None:
  """Prints the table, and the detail of every trial that went wrong; exit code 1 if there is one."""
  parser = argparse.ArgumentParser(description='Damages checkpoints at random and reads them again.')
  parser.add_argument('--count', type=int, default=200)
  parser.add_argument('--seed', type=int, default=0)
  arguments = parser.parse_args()
  trials = fuzz(arguments.count, arguments.seed)
  print(table(trials))
  bad = [(arguments.seed + i, found) for i, found in enumerate(trials) if found.details]
  for seed, found in bad:
    print(f'seed {seed}: {"; ".join(found.damage)}: {"; ".join(found.details)}')
  raise SystemExit(1 if bad else 0)


if __name__ == '__main__':
  main()
