"""One evaluation of a model and clips that are made up, to its files. `tests/test_cli.py` has one of a real run."""

import json
import types

import numpy as np
import pytest

from data_pipeline.errors import DataError
from edtalk_jax.config import Config, UserError
from edtalk_jax.evaluation import protocols, run
from edtalk_jax.evaluation.evaluate import Settings
from edtalk_jax.evaluation.judges import shelf

SIZE = 64


class FakeClips(list):
  fingerprint = '0123456789abcdef' * 4

  @property
  def infos(self):
    return [protocols.ClipInfo(clip.clip_id, clip.identity, 5) for clip in self]


def _clip(number):
  def frame(index, size):
    return (np.random.default_rng(number).integers(200, size=(size, size, 3)) + 10 * index).astype(np.uint8)

  landmarks = np.random.default_rng(number).uniform(16, 48, (5, 68, 2))
  return types.SimpleNamespace(
    clip_id=f'clip{number}', identity=f'person{number}', frame=frame, factors=None, landmarks=lambda size: landmarks
  )


def _no_detector():
  raise DataError('face detection needs dlib')


class FakeModel:
  """Its motion is the picture itself: it copies whatever drives it."""

  config, image_size, banks, step, averaged, hears = Config(), SIZE, ('mouth', 'pose'), 1234, False, False

  def encode(self, image):
    return types.SimpleNamespace(motion=self.motion(image[None]))

  def motion(self, images):
    return dict.fromkeys(self.banks, images.reshape(len(images), -1).astype(np.float32))

  def generate(self, source, motion):
    values = next(iter(motion.values()))
    return np.clip(values, 0, 255).astype(np.uint8).reshape(-1, SIZE, SIZE, 3)


@pytest.fixture
def workdir(tmp_path):
  folder = tmp_path / 'run'
  folder.mkdir()
  (folder / 'config.json').write_text('{"stage": "mouth_pose", "config": {"run": {"stage": "mouth_pose"}}}')
  lines = [{'step': step, 'loss': 3.0 / step, 'validation/loss': 4.0 / step} for step in (1, 2, 3)]
  (folder / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines) + '{"step": 4, "lo')
  return folder


def measure(workdir, settings=None, clips=range(3), split='test', **options):
  """Evaluates the model of pictures on made up clips."""
  clips, judges = FakeClips(map(_clip, clips)), shelf.open_folder(None)
  evaluation = run.Evaluation(FakeModel(), clips, judges, settings or Settings())
  asked = {'workdir': str(workdir), 'checkpoint': 'latest', 'data': 'records', 'split': split}
  return run.measure(evaluation, asked, workdir, **{'find_detector': _no_detector, **options})


def test_files_and_words(workdir, capsys):
  result = measure(workdir, Settings(frames=3))
  stored = json.loads((workdir / 'eval' / 'test' / 'metrics.json').read_text())
  assert stored == result
  assert (stored['step'], stored['split'], stored['fingerprint']) == (1234, 'test', FakeClips.fingerprint)
  assert stored['protocols']['same_clip']['methods']['generated']['l1']['mean'] == 0
  first, *missing, last = stored['notes']
  assert first == 'No landmark metrics: face detection needs dlib'
  assert last == 'Leakage between the spaces was not measured: it needs landmarks.'
  assert [line.split(',')[0] for line in missing if 'CSIM' not in line] == [
    'Not measured: LPIPS',
    'Not measured: FID',
    'Not measured: Sync-C',
    'Not measured: NIQE',
    'Not measured: Acc_emo',
  ]
  assert {'lpips', 'fid', 'csim', 'm_lmd'} <= set(stored['protocols']['same_clip']['skipped'])
  assert stored['leakage'] is None and stored['disentanglement'] is None
  page = (workdir / 'report.html').read_text()
  assert 'One space swept' in page
  assert '1,234' in page and 'validation' in page and 'face detection needs dlib' in page
  printed = capsys.readouterr().out
  assert 'source unchanged' in printed and 'PSNR' in printed and str(workdir / 'report.html') in printed
  assert 'LPIPS, FID' in printed and 'Not measured' in page
  assert not list(workdir.rglob('*.tmp'))


def test_the_test_list_of_an_evaluation_can_be_measured_again(workdir, tmp_path):
  first = measure(workdir, Settings(clips=2, frames=2, seed=5), leakage=False)
  written = workdir / 'eval' / 'test' / 'test_list.json'
  again = measure(workdir, out=str(tmp_path / 'again'), same_as=str(written), leakage=False)
  assert again['test_list'] == first['test_list'] == json.loads(written.read_text())['sha256']
  assert again['sequences'] == first['sequences'] and again['protocols'] == first['protocols']


def test_out_and_split_are_obeyed(workdir, tmp_path):
  measure(workdir, Settings(clips=1, frames=2), split='val', out=str(tmp_path / 'there'))
  assert json.loads((tmp_path / 'there' / 'metrics.json').read_text())['split'] == 'val'
  assert (tmp_path / 'there' / 'report.html').exists() and not (workdir / 'report.html').exists()


def test_landmarks_can_be_switched_off(workdir):
  result = measure(workdir, Settings(clips=1, frames=2), find_detector=None)
  assert result['notes'][0] == 'Landmark metrics were switched off (--no-landmarks).'


def test_the_separation_of_the_spaces_can_be_switched_off(workdir):
  result = measure(workdir, Settings(clips=1, frames=2), leakage=False)
  assert result['notes'][-1] == 'The separation of the motion spaces was not measured (--no-leakage).'
  assert 'One space swept' not in (workdir / 'report.html').read_text()


def test_a_split_of_stills_is_one_clear_line(workdir):
  with pytest.raises(UserError, match='records: split test holds no clip of two frames'):
    measure(workdir, clips=())
