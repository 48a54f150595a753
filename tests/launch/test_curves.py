"""Curves of runs for the documentation."""

import json

import pytest
from PIL import Image

from edtalk_jax.config import UserError
from launch import curves


def test_each_run_gets_a_picture_named_by_its_stage(tmp_path, capsys):
  run = tmp_path / 'runs' / 'first'
  run.mkdir(parents=True)
  (run / 'config.json').write_text(json.dumps({'stage': 'mouth_pose'}))
  lines = [
    {'step': step, 'loss': 3 / step, 'l1': 1 / step, 'grad_norm/model': 5.0, 'validation/l1': 2 / step}
    for step in range(1, 40)
  ]
  (run / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
  curves.main((str(run), str(tmp_path / 'runs')), out=str(tmp_path / 'docs'))
  assert [path.name for path in (tmp_path / 'docs').iterdir()] == ['mouth_pose.png']
  with Image.open(tmp_path / 'docs' / 'mouth_pose.png') as image:
    assert image.width == 840 and image.height == 200  # two panels in one row: gradient norms are left out
    assert len(image.convert('RGB').getcolors()) > 8  # something is drawn
  assert 'mouth_pose.png' in capsys.readouterr().out


def test_no_run_is_one_clear_line(tmp_path):
  with pytest.raises(UserError, match='no run here'):
    curves.main((str(tmp_path),), out=str(tmp_path / 'docs'))
