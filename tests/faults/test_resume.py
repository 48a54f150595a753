"""A run that is killed and started again, with real processes and SIGKILL: `benchmarks.soak` in small."""

import json

import pytest

from benchmarks.soak.comparison import differences
from benchmarks.soak.killing import prepare
from edtalk_jax.training import metrics


@pytest.mark.release
def test_a_killed_run_ends_as_one_that_was_never_killed(tmp_path):
  """Once while a checkpoint is being written, once between steps: arrays, metric lines and samples are bit-equal."""
  run = prepare(tmp_path)
  run.live('save')
  run.live('steps')
  steps = run.finish()
  lines = metrics.read_lines(run.workdir / metrics.FILE)
  assert [line['step'] for line in lines if 'loss' in line] == list(range(1, steps + 1))
  assert [line['example'] for line in lines if 'loss' in line] == [8 * step for step in range(steps)]
  run.reference(tmp_path / 'reference', steps)
  assert differences(tmp_path / 'reference', run.workdir) == []

  # The comparison can fail.
  path = run.workdir / metrics.FILE
  path.write_text(path.read_text().replace('"loss": ', '"loss": 1', 1))
  assert differences(tmp_path / 'reference', run.workdir) == [
    f'metrics.jsonl: {len(lines)} and {len(lines)} lines, steps equal: True'
  ]


def test_metric_lines_after_the_checkpoint_are_dropped(tmp_path):
  path, said = tmp_path / metrics.FILE, []
  cut_by_a_kill = '{"step": 4, "lo'
  path.write_text(''.join(json.dumps({'step': step, 'loss': 0.1}) + '\n' for step in (1, 2, 3)) + cut_by_a_kill)
  with metrics.MetricLog(tmp_path, 2, enabled=True, say=said.append) as log:
    log.write(3, {'loss': 0.3}, example=16)
  assert [line['step'] for line in metrics.read_lines(path)] == [1, 2, 3]
  assert said == []


def test_a_damaged_metric_line_is_named(tmp_path):
  path, said = tmp_path / metrics.FILE, []
  path.write_bytes(b'{"step": 1}\n\xff\xfe{"step": 2}\n3\n{"step": 4}\n')
  with metrics.MetricLog(tmp_path, 4, enabled=True, say=said.append):
    pass
  assert [line['step'] for line in metrics.read_lines(path)] == [1, 4]
  assert said == [f'{path}: dropped 2 damaged line(s) before step 4']
