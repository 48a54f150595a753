"""The recipe: train the chain on one set of records, measure its model on several, and set the paper's table beside."""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_pipeline import records
from edtalk_jax.chain import run as chain_run
from edtalk_jax.chain.plan import Chain
from edtalk_jax.config import UserError
from edtalk_jax.evaluation import run as evaluation
from edtalk_jax.evaluation.evaluate import Settings
from edtalk_jax.evaluation.judges import shelf
from edtalk_jax.reproduction import published, table
from edtalk_jax.training import hand_off

LAST = 'audio_to_mouth'  # the stage whose model paints both rows of the table
Say = Callable[[str], None]


def run(
  chain: Chain,
  train: str,
  tests: Mapping[str, str],
  out: str,
  *,
  settings: Settings,
  split: str = 'test',
  judges: str | None = None,
  say: Say = print,
  train_chain: Callable[..., None] = chain_run.run,
  evaluate: Callable[..., dict[str, Any]] = evaluation.run,
) -> list[table.Cell]:
  """Trains what is not trained yet, measures what is not measured yet, and writes the table. The same again goes on.

  Args:
    chain: of runs, up to a stage audio_to_mouth.
    train: folder of the records to train on.
    tests: name of a data set -> folder of its records; names that `published.TABLE` has get its numbers.
    out: folder of `runs/`, `measured/` and the table's files.
    settings: how much is measured.
    split: of the test records.
    judges: folder of other people's networks, for the metrics that need them.
    say: where lines go.
    train_chain: what trains the runs, here or elsewhere; called as `chain.run.run`.
    evaluate: what measures the last run; called as `evaluation.run.run`, whose files it writes.

  Returns:
    The table.

  Raises:
    UserError, DataError: in one line, before anything is trained, if the records or the chain do not serve.
  """
  folder = pathlib.Path(out)
  _check(chain, train, tests, split)
  missing = shelf.open_folder(judges).missing  # a wrong folder is no news to get after days of training
  train_chain(chain, train, str(folder / 'runs'), until=LAST, say=say)
  workdir = str(folder / 'runs' / LAST)
  measured = {
    name: _measured(workdir, data, folder / 'measured' / name, split, settings, judges, evaluate, say)
    for name, data in tests.items()
  }
  found = table.cells(measured)
  table.write(folder, found, _about(chain, train, tests, split, measured, missing))
  say(table.markdown(found, {}))
  say(f'wrote {folder / table.PAGE} (open it in a browser), {table.MARKDOWN} and {table.JSON}')
  return found


def named(texts: Sequence[str]) -> dict[str, str]:
  """Reads 'NAME=RECORDS' texts. Raises UserError in one line."""
  found = {}
  for text in texts:
    name, _, folder = text.partition('=')
    if not name or not folder or '/' in name:
      raise UserError(f'--data {text}: expected NAME=RECORDS, such as MEAD=records/mead')
    found[name] = folder
  return found


def _check(chain: Chain, train: str, tests: Mapping[str, str], split: str) -> None:
  if LAST not in chain.stages:
    raise UserError(f'the chain has no stage {LAST}, whose model the table is of; it has {", ".join(chain.stages)}')
  if not tests:
    raise UserError('--data is missing: give at least one NAME=RECORDS')
  for name, folder in tests.items():
    if split not in (there := records.splits(folder)):
      raise UserError(f'--data {name}={folder}: no split {split}; there are {", ".join(there)}')
    if known := _people(folder, split) & _people(train, 'train'):
      raise UserError(
        f'--data {name}={folder}: {len(known)} people of split {split} are trained on in --train '
        f'{train}: {", ".join(sorted(known)[:5])}; docs/reproducing.md says how splits are kept alike'
      )


def _people(folder: str, split: str) -> set[str]:
  return {clip.identity for clip in records.Clips(folder, split).infos} if split in records.splits(folder) else set()


def _measured(
  workdir: str,
  data: str,
  folder: pathlib.Path,
  split: str,
  settings: Settings,
  judges: str | None,
  evaluate: Callable[..., dict[str, Any]],
  say: Say,
) -> dict[str, Any]:
  """The content of metrics.json, from before if it is of the same checkpoint, records, settings and networks."""
  path = folder / 'metrics.json'
  if path.is_file():
    before = json.loads(path.read_text(encoding='utf-8'))
    same = {
      'step': hand_off.open_run(workdir, parts=()).step,
      'fingerprint': records.Clips(data, split).fingerprint,
      'split': split,
      'judges': shelf.open_folder(judges).used,
    }
    if before.items() >= same.items() and all(getattr(settings, k) == v for k, v in before['settings'].items()):
      say(f'{folder}: measured before')
      return before
  return evaluate(
    workdir, data, split=split, out=str(folder), settings=settings, leakage=False, judges=judges, paintings=True
  )


def _about(
  chain: Chain,
  train: str,
  tests: Mapping[str, str],
  split: str,
  measured: Mapping[str, Mapping[str, Any]],
  missing: Mapping[str, str],
) -> dict[str, str]:
  """What was done, in words."""
  about = {'trained on': train}
  steps = [f'{config.run.stage} {config.run.steps:,}' for config in chain.chosen(until=LAST)]
  about['steps'] = ', '.join(steps)
  for name, folder in tests.items():
    content = measured[name]
    same = content['protocols'].get('same_clip', {})
    about[name] = (
      f'{folder}, split {split}: {same.get("sequences", 0)} clips of {same.get("identities", 0)} people, '
      f'{content["image_size"]} pixels, test list {content["test_list"][:12]}'
    )
  about[published.AUDIO] = (
    "mouth from the clip's sound, head pose and expression from its frames (our reading); clips with sound only"
  )
  about[published.VIDEO] = "every motion from the clip's frames"
  return about | {f'{measure} not measured': missing[measure] for measure in table.JUDGED if measure in missing}
