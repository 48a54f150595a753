"""The recipe: what is trained and measured, what is not done twice, and what users get wrong."""

import json
import types

import pytest

from configs import tiny_chain
from edtalk_jax.chain.plan import Chain
from edtalk_jax.config import UserError
from edtalk_jax.evaluation.evaluate import Settings
from edtalk_jax.reproduction import run, table
from tests.reproduction.test_table import content

SETTINGS = Settings(clips=3, frames=2, videos=1)


@pytest.fixture
def done(monkeypatch):
  """Replaces training and evaluation; returns what was asked of them."""
  asked = types.SimpleNamespace(trained=[], measured=[], step=10, judges={}, people={})
  monkeypatch.setattr(run.chain_run, 'run', lambda chain, data, out, until, say: asked.trained.append((data, until)))
  monkeypatch.setattr(run.hand_off, 'open_run', lambda workdir, parts: types.SimpleNamespace(step=asked.step))
  monkeypatch.setattr(
    run.shelf,
    'open_folder',
    lambda judges: types.SimpleNamespace(
      used=asked.judges, missing={'FID': 'for lack of a file', 'NIQE': 'of no column'}
    ),
  )
  monkeypatch.setattr(run.records, 'splits', lambda folder: ('train', 'test'))
  monkeypatch.setattr(
    run.records,
    'Clips',
    lambda *where: types.SimpleNamespace(
      fingerprint=' '.join(where), infos=[types.SimpleNamespace(identity=asked.people.get(where, ' '.join(where)))]
    ),
  )

  def evaluate(workdir, data, *, split, out, settings, leakage, judges, paintings):
    asked.measured.append(data)
    about = {
      'step': asked.step,
      'fingerprint': f'{data} {split}',
      'split': split,
      'judges': dict(asked.judges),
      'settings': {'clips': settings.clips, 'frames': settings.frames},
      'image_size': 64,
      'test_list': 'ab' * 32,
      'notes': ['Not measured: FID.'],
    }
    result = {**content(20.0, 19.0), **about}
    table.files.write(run.pathlib.Path(out) / 'metrics.json', json.dumps(result))
    return result

  monkeypatch.setattr(run.evaluation, 'run', evaluate)
  return asked


def recipe(tmp_path, tests, settings=SETTINGS):
  return run.run(tiny_chain.get_config(), 'both', tests, str(tmp_path), settings=settings, say=lambda line: None)


def test_it_trains_to_the_model_that_hears_and_measures_every_data_set(done, tmp_path):
  found = recipe(tmp_path, {'MEAD': 'mead', 'HDTF': 'hdtf'})
  assert done.trained == [('both', 'audio_to_mouth')] and done.measured == ['mead', 'hdtf']
  assert {cell.data for cell in found} == {'MEAD', 'HDTF'}
  text = (tmp_path / table.MARKDOWN).read_text()
  assert text.count('FID not measured: for lack of a file') == 1 and 'NIQE' not in text
  assert (tmp_path / table.PAGE).is_file()


def test_what_was_measured_is_measured_again_only_if_it_would_be_another(done, tmp_path):
  recipe(tmp_path, {'MEAD': 'mead'})
  recipe(tmp_path, {'MEAD': 'mead', 'HDTF': 'hdtf'})
  assert done.measured == ['mead', 'hdtf']
  recipe(tmp_path, {'MEAD': 'other'})
  recipe(tmp_path, {'MEAD': 'other'}, Settings(clips=4, frames=2))
  done.judges = {'FID': 'a digest'}
  recipe(tmp_path, {'MEAD': 'other'}, Settings(clips=4, frames=2))
  done.step = 11
  recipe(tmp_path, {'MEAD': 'other'}, Settings(clips=4, frames=2))
  assert done.measured[2:] == ['other'] * 4


def test_mistakes_are_found_before_anything_is_trained(done, tmp_path):
  with pytest.raises(UserError, match='no split val; there are train, test'):
    run.run(tiny_chain.get_config(), 'both', {'MEAD': 'mead'}, str(tmp_path), settings=SETTINGS, split='val')
  with pytest.raises(UserError, match='no stage audio_to_mouth'):
    run.run(Chain(tiny_chain.RUNS[:2]), 'both', {'MEAD': 'mead'}, str(tmp_path), settings=SETTINGS)
  with pytest.raises(UserError, match='--data is missing'):
    recipe(tmp_path, {})
  done.people = {('both', 'train'): 'M003', ('mead', 'test'): 'M003'}  # who is in which
  with pytest.raises(UserError, match='--data MEAD=mead: 1 people of split test are trained on in --train both: M003'):
    recipe(tmp_path, {'MEAD': 'mead'})
  for text in ('mead', '=mead', 'MEAD=', 'a/b=mead'):
    with pytest.raises(UserError, match='expected NAME=RECORDS'):
      run.named([text])
  assert run.named(['MEAD=a=b']) == {'MEAD': 'a=b'} and not done.trained
