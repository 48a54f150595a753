"""Runs a chain: trains each stage as `edtalk train` does, measures it as `edtalk eval` does, and writes one report.

Nothing is kept but the runs themselves. So a chain that was stopped goes on where it was, whatever stopped it.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax

from data_pipeline.errors import DataError
from edtalk_jax import settings, storage
from edtalk_jax.chain import report
from edtalk_jax.chain.plan import NEEDS, Chain, needs
from edtalk_jax.config import Config, UserError
from edtalk_jax.evaluation import run as evaluation
from edtalk_jax.evaluation.evaluate import Settings
from edtalk_jax.training import hand_off, record
from edtalk_jax.training import train as training
from edtalk_jax.training.shelf import FOLDER, Shelf

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Measure:
  """How the stages are evaluated.

  Attributes:
    split: of the records; its people should not have been trained on.
    clips: of each evaluation, 0 for all.
    data: other records; None: those trained on.
  """

  split: str = 'test'
  clips: int = 100
  data: str | None = None


def run(
  chain: Chain,
  data: str,
  out: str,
  *,
  only: Sequence[str] = (),
  until: str | None = None,
  measure: Measure | None = None,
  say: Say = print,
  train: Callable[..., None] = training.train,
  evaluate: Callable[..., Any] = evaluation.run,
) -> None:
  """Trains and measures the chosen stages in order, and writes OUT/report.html and OUT/chain.json after each.

  Args:
    chain: of runs.
    data: folder of records.
    out: folder of the runs' folders, which are named by their stages.
    only: stages to run; those that they need must have been run. All, if empty.
    until: the last stage to run.
    measure: how runs are evaluated; None: they are not. Several processes leave that to a later start of a single one.
    say: where lines go, from process 0.
    train: what trains each run, here or elsewhere; called and ended as `training.train.train`.
    evaluate: what measures each run; called as `evaluation.run.run`, whose files it writes.

  Raises:
    UserError, DataError, RunStopped, Preempted: as `training.train.train` does, in the middle of the chain.
  """
  if storage.is_remote(out):
    raise UserError(
      f'--out {out}: a chain works in a folder; train stages into object storage one by one, with `edtalk train`'
    )
  folder, say = pathlib.Path(storage.local(out)), say if jax.process_index() == 0 else lambda line: None
  chosen = chain.chosen(only, until)
  if not chosen:
    raise UserError(f'--only {" ".join(only)} --until {until}: leaves no stage to run')
  planned = [config.run.stage for config in chosen]
  for config in chosen:  # before hours are spent on the first
    check_needs(config, folder, planned)
  for number, config in enumerate(chosen):
    stage = config.run.stage
    workdir = str(folder / stage)
    say(f'--- {stage} ({number + 1} of {len(chosen)})')
    start = NEEDS[stage].start
    _check_start(folder, stage)
    train(given(config, folder), workdir, data, start_from=start and str(folder / start), say=say)
    if measure is not None and jax.process_count() == 1:
      _measured(config, workdir, data, measure, evaluate, say)
    jax.clear_caches()  # the programs of a stage serve no other
    report.write(chain, folder, data, None if measure is None else measure.split)
  if measure is not None and jax.process_count() > 1:
    say('nothing was measured, which one process does: run the same command on its own')
  say(f'wrote {folder / report.PAGE} (open it in a browser) and {folder / report.FILE}')


def given(config: Config, folder: pathlib.Path) -> Config:
  """Returns the configuration of a run with the folders of the runs that it needs, where it names no others."""
  for option, stage in needs(config).options.items():
    if not _value(config, option):
      config = settings.override(config, option, str(folder / stage))
  return config


def _value(config: Config, option: str) -> Any:
  group, _, name = option.partition('.')
  return getattr(getattr(config, group), name)


def check_needs(config: Config, folder: pathlib.Path, planned: Sequence[str]) -> None:
  """Raises UserError if a run is needed that is neither there nor to be made."""
  found = needs(config)
  wanted = [*filter(None, [found.start]), *(s for option, s in found.options.items() if not _value(config, option))]
  for stage in wanted:
    if stage not in planned and not Shelf(folder / stage).steps():
      raise UserError(
        f'stage {config.run.stage} needs a run of {stage}, and {folder / stage} is none; run stage {stage} as well'
      )


def _check_start(folder: pathlib.Path, stage: str) -> None:
  """Raises UserError if a run has begun with other parameters than the run before it has now."""
  start = NEEDS[stage].start
  if start is None or not (folder / stage / FOLDER).is_dir():
    return
  began = record.read(folder / stage).get('start_fingerprint')
  if began and began != hand_off.open_run(str(folder / start)).fingerprint:
    raise UserError(
      f'{folder / stage} began with other parameters than {folder / start} has now; delete it to train it again'
    )


def _measured(
  config: Config, workdir: str, data: str, measure: Measure, evaluate: Callable[..., Any], say: Say
) -> None:
  """Evaluates a run. What cannot be evaluated, on records without labels for example, does not stop the chain."""
  try:
    _measure(config, workdir, data, measure, evaluate, say)
  except (UserError, DataError) as error:
    say(f'{workdir}: not measured: {error}')


def _measure(config: Config, workdir: str, data: str, measure: Measure, evaluate: Callable[..., Any], say: Say) -> None:
  """Evaluates a run unless its newest checkpoint has been."""
  step = hand_off.open_run(workdir, parts=()).step
  path = report.metrics_file(config, pathlib.Path(workdir), measure.split)
  records = measure.data or data
  if path.is_file():
    before = json.loads(path.read_text(encoding='utf-8'))
    if (before['step'], before['data'], before['settings']['clips']) == (step, records, measure.clips):
      say(f'{workdir}: measured before, at step {step}')
      return
  evaluate(workdir, records, split=measure.split, settings=Settings(clips=measure.clips))
