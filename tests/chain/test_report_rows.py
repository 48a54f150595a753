"""The rows of a combined report: how far a stage is, and figures of its newest checkpoint only."""

import dataclasses
import json

from edtalk_jax.chain import Chain, report
from edtalk_jax.config import RunConfig
from tests import tiny

STEPS = 5
CONFIG = dataclasses.replace(tiny.config('reconstruction'), run=RunConfig(stage='reconstruction', steps=STEPS))


def _row(folder, steps, measured_at):
  workdir = folder / 'reconstruction'
  for step in steps:
    (workdir / 'checkpoints' / str(step)).mkdir(parents=True)
  path = report.metrics_file(CONFIG, workdir, 'test')
  path.parent.mkdir(parents=True)
  path.write_text(json.dumps({'step': measured_at, 'table': {'AUC': {'mean': 0.9, 'low': 0.8, 'high': None}}}))
  (row,) = report.rows(Chain((CONFIG,)), folder, 'test')
  return row


def test_figures_are_shown_of_the_newest_checkpoint(tmp_path):
  row = _row(tmp_path, (2, 5), measured_at=5)
  assert (row.step, row.state) == (5, 'done')
  assert [(figure.label, figure.value) for figure in row.figures] == [('AUC', 0.9)]


def test_figures_of_an_earlier_checkpoint_are_not_shown(tmp_path):
  row = _row(tmp_path, (2, 4), measured_at=2)
  assert (row.step, row.state, row.figures) == (4, 'under way', ())


def test_a_stage_that_has_not_begun_says_so(tmp_path):
  (row,) = report.rows(Chain((CONFIG,)), tmp_path, 'test')
  assert (row.step, row.state, row.figures) == (None, 'not begun', ())
