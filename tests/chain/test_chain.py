"""Chains of toy stages: what follows what, what is skipped, what is refused, and what the report says."""

import dataclasses
import json
import pathlib
import re
import shutil
import typing

import jax
import pytest

from data_pipeline.errors import DataError
from edtalk_jax import settings, stages
from edtalk_jax.chain import Chain, figures, plan
from edtalk_jax.chain import run as chain_run
from edtalk_jax.config import Config, LogConfig, RunConfig, UserError
from edtalk_jax.terminal import Preempted
from edtalk_jax.training import checkpoint
from edtalk_jax.training import train as training
from edtalk_jax.training.shelf import Shelf
from tests import untrained
from tests.faults import toy

STAGES = ('reconstruction', 'mouth_pose', 'expression')
CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'


def config(stage, steps=2):
  return dataclasses.replace(
    toy.CONFIG, run=RunConfig(stage=stage, steps=steps), log=LogConfig(every=1, samples_every=0, validate_batches=0)
  )


CHAIN = Chain(tuple(map(config, STAGES)))


def toy_of(config):
  """The toy in the place of the stage that `config` names, on noise."""
  data = dataclasses.replace(config.data, synthetic_batch=True)
  return dataclasses.replace(config, run=dataclasses.replace(config.run, stage='toy'), data=data)


def train(config, workdir, data, start_from=None, say=print):
  """Trains the toy."""
  training.train(toy_of(config), workdir, None, start_from=start_from, say=say, devices=jax.devices()[:1])


def draw(config, workdir, data, start_from=None, say=print):
  """Leaves a run as `train` does, whose parameters are drawn rather than trained."""
  folder, steps = pathlib.Path(workdir), config.run.steps
  if steps not in Shelf(folder).steps():
    untrained.save(folder, toy_of(config), config.run.seed, steps, start_from)


@pytest.fixture
def trained(tmp_path):
  """Runs chains of toys: (chain, options) -> lines said. `measured` collects what was evaluated."""
  measured = []

  def evaluate(workdir, data, *, split, settings):
    measured.append(pathlib.Path(workdir).name)
    path = pathlib.Path(workdir) / 'eval' / split / 'metrics.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {'AUC of windows': {'mean': 0.93, 'low': 0.9, 'high': 0.95}}
    path.write_text(json.dumps({'step': 2, 'data': data, 'settings': {'clips': settings.clips}, 'table': table}))

  def go(chain=CHAIN, **options):
    said = []
    options = {'measure': chain_run.Measure(), 'train': draw, 'evaluate': evaluate, **options}
    chain_run.run(chain, 'records', str(tmp_path), say=said.append, **options)
    return said

  go.measured, go.folder, go.evaluate = measured, tmp_path, evaluate
  return go


def test_stages_follow_one_another_and_are_not_repeated(trained):
  trained(train=train)
  assert trained.measured == list(STAGES)
  record = json.loads((trained.folder / 'mouth_pose' / 'config.json').read_text())
  assert record['start_from'] == str(trained.folder / 'reconstruction') and len(record['start_fingerprint']) == 64
  found = json.loads((trained.folder / 'chain.json').read_text())['stages']
  assert [(row['stage'], row['state'], row['step']) for row in found] == [(stage, 'done', 2) for stage in STAGES]
  assert found[1]['figures'] == [{'label': 'AUC of windows', 'value': 0.93, 'low': 0.9, 'high': 0.95}]
  page = (trained.folder / 'report.html').read_text()
  assert 'href="mouth_pose/report.html"' in page and '0.930' in page and 'AUC of windows' in page

  said = trained(train=train)
  assert trained.measured == list(STAGES)  # not again
  assert sum('the run is finished' in line for line in said) == 3
  assert sum('measured before' in line for line in said) == 3

  trained(measure=chain_run.Measure(clips=7))
  assert trained.measured == 2 * list(STAGES)


def test_what_cannot_be_measured_does_not_stop_it(trained):
  def refused(workdir, data, **options):
    if workdir.endswith('mouth_pose'):
      raise DataError('records: no split test')
    trained.evaluate(workdir, data, **options)

  said = trained(evaluate=refused)
  assert trained.measured == ['reconstruction', 'expression']
  assert any(line.endswith('mouth_pose: not measured: records: no split test') for line in said)


def test_it_goes_on_where_it_was_stopped(trained):
  """Stopped in the second stage: its exit code passes through, and the report says how far it is."""

  def stopped(config, *arguments, **options):
    if config.run.stage == 'mouth_pose':
      raise Preempted('step 1 is saved')
    draw(config, *arguments, **options)

  with pytest.raises(Preempted):
    trained(train=stopped)
  found = json.loads((trained.folder / 'chain.json').read_text())['stages']
  assert [row['state'] for row in found] == ['done', 'not begun', 'not begun']
  trained()
  assert trained.measured == list(STAGES)


def test_some_stages_alone(trained):
  with pytest.raises(UserError, match='stage expression needs a run of mouth_pose'):
    trained(only=['expression'])
  assert not trained.measured
  trained(until='mouth_pose', measure=None)
  assert not trained.measured and not (trained.folder / 'expression').exists()
  trained(only=['expression'])
  assert trained.measured == ['expression']
  with pytest.raises(UserError, match='--only expression --until mouth_pose: leaves no stage to run'):
    trained(only=['expression'], until='mouth_pose')
  with pytest.raises(UserError, match='--out gs://bucket/runs: a chain works in a folder'):
    chain_run.run(CHAIN, 'records', 'gs://bucket/runs')
  with pytest.raises(UserError, match='no such stage in this chain; it has reconstruction, mouth_pose, expression'):
    trained(until='sync')


def test_a_stage_does_not_outlive_the_one_it_began_with(trained):
  trained(measure=None)
  shutil.rmtree(trained.folder / 'mouth_pose')
  with pytest.raises(UserError, match=r'expression began with other parameters than .*mouth_pose has now; delete it'):
    trained(plan.override(CHAIN, ['mouth_pose:run.seed=1']), measure=None)


def test_runs_are_named_where_the_configuration_names_none(tmp_path):
  assert chain_run.given(config('audio_to_pose'), tmp_path).data.motion == str(tmp_path / 'expression')
  with pytest.raises(UserError, match='stage audio_to_pose needs a run of expression'):
    chain_run.check_needs(config('audio_to_pose'), tmp_path, [])
  own = settings.override(config('audio_to_pose'), 'data.motion', 'elsewhere')
  assert chain_run.given(own, tmp_path).data.motion == 'elsewhere'
  chain_run.check_needs(own, tmp_path, [])
  assert plan.NEEDS['audio_to_pose'].stages == ('expression',)


def test_an_expert_is_needed_where_a_term_asks_it(tmp_path):
  deaf, asking = (settings.override(config('audio_to_mouth'), 'loss.sync', weight) for weight in ('0', '0.1'))
  for own in (deaf, asking):
    shelved = chain_run.given(own, tmp_path).audio.sync_expert
    assert shelved == (str(tmp_path / 'sync_expert') if own is asking else '')
  chain_run.check_needs(deaf, tmp_path, ['expression'])
  with pytest.raises(UserError, match='audio_to_mouth needs a run of sync_expert'):
    chain_run.check_needs(asking, tmp_path, ['expression'])
  with pytest.raises(ValueError, match='audio_to_mouth needs sync_expert, which comes after it'):
    Chain((asking, config('sync_expert')))
  Chain((deaf, config('sync_expert')))


def test_options_of_all_stages_and_of_one():
  changed = plan.override(CHAIN, ['data.workers=3', 'mouth_pose:run.steps=9'])
  assert [c.data.workers for c in changed.runs] == [3, 3, 3]
  assert [c.run.steps for c in changed.runs] == [2, 9, 2]
  with pytest.raises(UserError, match='no stage sync in this chain'):
    plan.override(CHAIN, ['sync:run.steps=9'])


@pytest.mark.parametrize(
  'runs, message',
  [
    (('mouth_pose', 'reconstruction'), 'mouth_pose needs reconstruction, which comes after it'),
    (('reconstruction', 'reconstruction'), 'one run of each stage'),
  ],
)
def test_an_order_that_cannot_be_is_refused(runs, message):
  with pytest.raises(ValueError, match=message):
    Chain(tuple(map(config, runs)))


def test_every_stage_has_a_place():
  stages = typing.get_args(typing.get_type_hints(RunConfig)['stage'])
  assert set(stages) <= set(plan.NEEDS)


@pytest.mark.parametrize('name', ['tiny_chain', 'chain', 'chain_large'])
def test_shipped_chains_are_whole(name):
  chain = plan.load(str(CONFIGS / f'{name}.py'))
  assert [stage for stage in plan.NEEDS if stage in chain.stages] == [*chain.stages]
  assert all(set(plan.NEEDS[stage].stages) <= set(chain.stages) for stage in chain.stages)
  for run_config in chain.runs:
    assert settings.from_dict(Config, json.loads(json.dumps(dataclasses.asdict(run_config)))) == run_config
  assert len({(c.model.image_size, c.model.style_dim) for c in chain.runs}) == 1


def test_a_chain_is_no_configuration_of_one_run():
  with pytest.raises(UserError, match='must return a Config, got Chain'):
    settings.load(str(CONFIGS / 'chain.py'))


def test_key_figures_of_pictures_and_spaces():
  metrics = {
    'protocols': {'same_clip': {'gain_over_source_unchanged': {'psnr': {'mean': 2.5, 'low': 2.0, 'high': 3.0}}}},
    'disentanglement': {
      'r2': {
        'mouth': {'opening': {'value': 0.8, 'low': 0.7, 'high': 0.9}},
        'pose': {'yaw': {'value': None, 'low': None, 'high': None}},
      }
    },
  }
  assert figures.of(metrics) == [
    figures.Figure('PSNR over source unchanged, dB', 2.5, 2.0, 3.0),
    figures.Figure('R² of opening in mouth', 0.8, 0.7, 0.9),
  ]
  assert figures.of({'protocols': {}}) == []


@pytest.mark.integration
def test_what_a_stage_freezes_is_what_the_run_before_it_has():
  """Of every array that does not train, by its shape; nothing is computed."""
  arrays = {}
  for run_config in plan.load(str(CONFIGS / 'tiny_chain.py')).runs:
    stage = stages.build(run_config)
    model = jax.eval_shape(stage.init, jax.random.key(0))['model']
    arrays[stage.name] = checkpoint.describe(model)
    before = arrays.get(plan.NEEDS[stage.name].start, {})
    fine = [stage.trainable, *filter(None, (stage.moving, stage.given))]
    for path, text in arrays[stage.name].items():
      if stage.start is None and not any(re.search(pattern, path) for pattern in fine):
        assert before.get(path) == text, f'{stage.name}: {path}'
