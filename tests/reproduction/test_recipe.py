"""The recipe: what is trained and measured, what is not done twice, and what users get wrong."""

import dataclasses
import json
import pathlib
import types

import pytest

from configs import tiny_chain
from data_pipeline import records
from data_pipeline.datasets import synthetic
from data_pipeline.synthetic.clip import Plan
from edtalk_jax.chain.plan import Chain
from edtalk_jax.config import SemanticConfig, UserError
from edtalk_jax.evaluation.evaluate import Settings
from edtalk_jax.evaluation.judges import shelf
from edtalk_jax.reproduction import run, table
from edtalk_jax.training.shelf import Shelf
from tests import tiny, untrained
from tests.evaluation.networks import save_network
from tests.reproduction.test_table import content

pytestmark = pytest.mark.integration

SETTINGS = Settings(clips=3, frames=2, videos=1)
# Of the last run only the number of its step matters here: the smallest stage will do.
LAST = dataclasses.replace(tiny.config('semantic_expression'), semantic=SemanticConfig(width=4))


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """Records of the same three people, one in each split; those of `other` move in another way."""
  folder = tmp_path_factory.mktemp('data')
  for seed, name in enumerate(('heads', 'other')):
    synthetic.make(Plan(clips=3, size=32, people=3, frames=5, seed=seed), str(folder / name), workers=0)
  return types.SimpleNamespace(heads=str(folder / 'heads'), other=str(folder / 'other'))


@pytest.fixture
def recipe(data, tmp_path):
  """Runs the recipe without training and measuring; returns its table. What was asked of both is noted."""

  def train_chain(chain, records, out, *, until, say):
    go.trained.append((chain, records, until))
    if go.step not in Shelf(pathlib.Path(out) / until).steps():
      untrained.save(pathlib.Path(out) / until, LAST, step=go.step)

  def evaluate(workdir, where, *, split, out, settings, leakage, judges, paintings):
    assert paintings and not leakage
    go.measured.append((workdir, where))
    about = {
      'step': go.step,
      'fingerprint': records.Clips(where, split).fingerprint,
      'split': split,
      'judges': shelf.open_folder(judges).used,
      'settings': {'clips': settings.clips, 'frames': settings.frames},
      'image_size': 64,
      'test_list': 'ab' * 32,
      'notes': ['Not measured: FID.'],
    }
    result = {**content(20.0, 19.0), **about}
    table.files.write(pathlib.Path(out) / 'metrics.json', json.dumps(result))
    return result

  def go(tests, settings=SETTINGS, chain=None, **options):
    options = {'train_chain': train_chain, 'evaluate': evaluate, 'say': lambda line: None, **options}
    return run.run(chain or CHAIN, data.heads, tests, str(tmp_path), settings=settings, **options)

  go.step, go.trained, go.measured = 10, [], []
  return go


CHAIN = tiny_chain.get_config()


def test_it_trains_to_the_model_that_hears_and_measures_every_data_set(recipe, data, tmp_path):
  found = recipe({'MEAD': data.heads, 'HDTF': data.other})
  last = str(tmp_path / 'runs' / 'audio_to_mouth')
  assert recipe.trained == [(CHAIN, data.heads, 'audio_to_mouth')]
  assert recipe.measured == [(last, data.heads), (last, data.other)]
  assert {cell.data for cell in found} == {'MEAD', 'HDTF'}
  text = (tmp_path / table.MARKDOWN).read_text()
  assert text.count('FID not measured: for lack of pt_inception') == 1 and 'NIQE' not in text
  assert (tmp_path / table.PAGE).is_file()


def test_what_was_measured_is_measured_again_only_if_it_would_be_another(recipe, data, tmp_path):
  measured = lambda: [where for _, where in recipe.measured]
  recipe({'MEAD': data.heads})
  recipe({'MEAD': data.heads, 'HDTF': data.heads})
  assert measured() == [data.heads] * 2  # MEAD once, HDTF once
  recipe({'MEAD': data.other})
  more = Settings(clips=4, frames=2)
  recipe({'MEAD': data.other}, more)
  (tmp_path / 'judges').mkdir()
  save_network(tmp_path / 'judges' / 'emotion.onnx', 24, 3, 'angry,happy,sad')
  judges = str(tmp_path / 'judges')
  recipe({'MEAD': data.other}, more, judges=judges)
  recipe.step = 11
  recipe({'MEAD': data.other}, more, judges=judges)
  assert measured()[2:] == [data.other] * 4
  recipe({'MEAD': data.other}, more, judges=judges)
  assert len(recipe.measured) == 6


def test_mistakes_are_found_before_anything_is_trained(recipe, data):
  with pytest.raises(UserError, match='no split wild; there are test, train, val'):
    recipe({'MEAD': data.heads}, split='wild')
  with pytest.raises(UserError, match='no stage audio_to_mouth'):
    recipe({'MEAD': data.heads}, chain=Chain(tiny_chain.RUNS[:2]))
  with pytest.raises(UserError, match='--data is missing'):
    recipe({})
  with pytest.raises(UserError, match='no such folder'):
    recipe({'MEAD': data.heads}, judges=f'{data.heads}/absent')
  [person] = {clip.identity for clip in records.Clips(data.heads, 'train').infos}
  known = rf'--data MEAD={data.other}: 1 people of split train are trained on in --train {data.heads}: {person};'
  with pytest.raises(UserError, match=known):
    recipe({'MEAD': data.other}, split='train')
  for text in ('mead', '=mead', 'MEAD=', 'a/b=mead'):
    with pytest.raises(UserError, match='expected NAME=RECORDS'):
      run.named([text])
  assert run.named(['MEAD=a=b']) == {'MEAD': 'a=b'} and not recipe.trained
