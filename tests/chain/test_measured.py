"""What each stage of a chain is measured on, and when it is measured again."""

import json
import pathlib

import pytest

from edtalk_jax.chain import Chain
from edtalk_jax.chain import run as chain_run
from tests import tiny, untrained

CONFIG = tiny.config('reconstruction')


@pytest.fixture
def measured(tmp_path):
  """Runs a chain whose run is there already: (measure) -> what was evaluated by now, as (data, split, clips)."""
  asked = []

  def train(config, workdir, data, start_from=None, say=print):
    assert data == 'records'
    if not pathlib.Path(workdir).exists():
      untrained.save(pathlib.Path(workdir), config, step=4)

  def evaluate(workdir, data, *, split, settings):
    asked.append((data, split, settings.clips))
    path = pathlib.Path(workdir) / 'eval' / split / 'metrics.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({'step': 4, 'data': data, 'settings': {'clips': settings.clips}, 'table': {}}))

  def go(**measure):
    chain, measure = Chain((CONFIG,)), chain_run.Measure(**measure)
    chain_run.run(
      chain, 'records', str(tmp_path), measure=measure, say=lambda line: None, train=train, evaluate=evaluate
    )
    return asked

  return go


def test_other_records_are_measured_where_they_are_given(measured):
  assert measured(split='val', clips=7) == [('records', 'val', 7)]
  assert measured(split='val', clips=7, data='others') == [('records', 'val', 7), ('others', 'val', 7)]


def test_what_was_measured_is_measured_again_on_other_clips_only(measured):
  assert measured(data='others') == measured(data='others') == [('others', 'test', 100)]
  assert measured(data='others', clips=3)[1:] == [('others', 'test', 3)]
