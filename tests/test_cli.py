"""The `edtalk` command: help for newcomers, one line for mistakes, arguments that reach the library."""

import contextlib
import inspect
import json
import pathlib
import signal
import socket
import subprocess
import sys
import urllib.request

import numpy as np
import PIL.Image
import pytest

from data_pipeline import media
from data_pipeline.datasets import synthetic
from data_pipeline.synthetic.clip import Plan
from edtalk_jax import cli, model
from edtalk_jax.animation import framing, making, presets
from edtalk_jax.cli_animate import made_up
from edtalk_jax.config import UserError
from edtalk_jax.training.shelf import Shelf
from tests import untrained
from tests.animation import fakes
from tests.faults import toy_train as toy_config

ROOT = pathlib.Path(__file__).parents[1]
TINY = str(ROOT / 'configs' / 'tiny.py')


def test_help_lists_the_commands_and_imports_no_jax():
  code = (
    'import sys; sys.argv = ["edtalk", "--help"]\n'
    'from edtalk_jax import cli; cli.main()\n'
    'assert not {"jax", "flax", "matplotlib", "av", "tensorflow_datasets"} & set(sys.modules)'
  )
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, timeout=60)
  assert done.returncode == 0, done.stderr
  for name in cli.COMMANDS:
    assert f'  {name} ' in done.stdout


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_every_command_explains_itself_with_an_example(name, capsys):
  with pytest.raises(SystemExit) as stop:
    cli.dispatch([name, '--help'])
  assert stop.value.code == 0
  printed = capsys.readouterr().out
  assert f'Example: edtalk {name} ' in printed
  assert '{None}' not in printed  # tyro's way to show optional values, which tells a newcomer nothing


def test_an_unknown_command_is_one_line_and_exit_code_2(capsys):
  with pytest.raises(SystemExit) as stop:
    cli.main(['anime'])
  assert stop.value.code == 2
  error = capsys.readouterr().err
  assert error == 'error: edtalk anime: no such command; there are ' + ', '.join(cli.COMMANDS) + '\n'


def test_a_missing_run_is_one_line_and_exit_code_2(tmp_path, capsys):
  with pytest.raises(SystemExit) as stop:
    cli.main(['eval', '--workdir', str(tmp_path / 'absent'), '--data', str(tmp_path)])
  assert stop.value.code == 2
  error = capsys.readouterr().err
  assert error.startswith(f'error: {tmp_path / "absent"}') and error.count('\n') == 1


def values_of(*line):
  """The arguments that a command line gives to its command, without those that are as the command has them."""
  command, values = cli.parse(line)
  defaults = inspect.signature(command).parameters
  return {name: value for name, value in values.items() if value != defaults[name].default}


@pytest.mark.parametrize(
  ('line', 'values'),
  [
    (
      'train --config c.py --workdir w --data d --from f --steps 7 --set a.b=1 c.d=2 --set e.f=3 --profile 5:6',
      {
        'config': 'c.py',
        'workdir': 'w',
        'data': 'd',
        'start_from': 'f',
        'steps': 7,
        'settings': (('a.b=1', 'c.d=2'), ('e.f=3',)),
        'profile': '5:6',
      },
    ),
    (
      'eval --workdir w --data d --which best --clips 3 --no-landmarks',
      {'workdir': 'w', 'data': 'd', 'which': 'best', 'clips': 3, 'landmarks': False},
    ),
    (
      'animate --model m --source s.png t.png --mouth a.mp4 --pose b.mp4 --out x.mp4 --extend loop --no-crop',
      {
        'model': 'm',
        'source': ('s.png', 't.png'),
        'mouth': 'a.mp4',
        'pose': 'b.mp4',
        'out': 'x.mp4',
        'extend': 'loop',
        'crop': False,
      },
    ),
    ('web --model m --seconds 5 --pose-model p', {'model': 'm', 'seconds': 5.0, 'pose_model': 'p'}),
    (
      'export-model runs/x --out x.edtalk --platforms cpu tpu --batch 4',
      {'model': 'runs/x', 'out': 'x.edtalk', 'platforms': ('cpu', 'tpu'), 'batch': 4},
    ),
  ],
)
def test_a_line_gives_its_arguments_and_leaves_the_others(line, values):
  assert values_of(*line.split()) == values


@pytest.mark.integration
def test_train_takes_overrides_in_any_grouping(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  config, noise = toy_config.__file__, 'data.synthetic_batch=True'
  cli.dispatch(['train', '--config', config, '--workdir', 'first', '--steps', '2', '--set', noise])
  line = f'train --config {config} --workdir second --from first --steps 7 --set optimizer.beta2=0.9 {noise}'
  cli.dispatch([*line.split(), '--set', 'run.seed=3', 'log.every=5', '--profile', '5:6', '--dump-hlo', 'h'])
  found = json.loads((tmp_path / 'second' / 'config.json').read_text())
  config = found['config']
  assert (config['optimizer']['beta2'], config['run']['seed'], config['log']['every']) == (0.9, 3, 5)
  assert found['start_from'] == 'first' and len(found['start_fingerprint']) == 64
  lines = map(json.loads, (tmp_path / 'second' / 'metrics.jsonl').read_text().splitlines())
  assert [line['step'] for line in lines] == [5, 7]
  assert Shelf(tmp_path / 'second').steps() == [5, 7]
  assert [*(tmp_path / 'second' / 'profile').rglob('*.xplane.pb')] and [*(tmp_path / 'h').iterdir()]


def test_train_names_a_wrong_option():
  with pytest.raises(UserError, match=r'--set optimizer\.beta=0\.9: unknown option'):
    cli.dispatch(['train', '--config', TINY, '--workdir', 'w', '--data', 'd', '--set', 'optimizer.beta=0.9'])


@pytest.mark.integration
def test_eval_measures_what_is_asked(runs, tmp_path, capsys):
  synthetic.make(Plan(clips=6, size=32, people=3, frames=5), str(tmp_path / 'records'), workers=0)
  line = ['eval', '--workdir', runs['reader'], '--data', str(tmp_path / 'records')]
  out = tmp_path / 'out'
  options = '--split train --clips 2 --frames 3 --videos 0 --seed 5 --no-landmarks --no-leakage'
  cli.dispatch([*line, *options.split(), '--out', str(out)])
  found = json.loads((out / 'metrics.json').read_text())
  assert (
    found['split'] == 'train' and found['settings'].items() >= {'clips': 2, 'frames': 3, 'videos': 0, 'seed': 5}.items()
  )
  assert found['notes'][0] == 'Landmark metrics were switched off (--no-landmarks).'
  assert found['notes'][-1] == 'The separation of the motion spaces was not measured (--no-leakage).'
  assert found['protocols']['same_clip']['sequences'] == 2 and found['disentanglement'] is None
  assert f'wrote {out}/metrics.json' in capsys.readouterr().out
  with pytest.raises(UserError, match='no whole checkpoint with a validation loss; use the latest'):
    cli.dispatch([*line, '--which', 'best'])


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """Untrained runs, of which the model has two emotions."""
  found = untrained.save_family(tmp_path_factory.mktemp('runs'))
  emotions = {
    name: presets.Preset((weight,) * 10, (0.0,) * 10, 1, 1) for name, weight in (('neutral', 1.0), ('happy', 3.0))
  }
  presets.write(presets.Presets(0, 'digest', 'train', emotions), found['reader'])
  return found


@pytest.fixture(scope='module')
def painter(runs):
  return model.load(runs['reader'])


@pytest.fixture
def animate(runs, tmp_path):
  """Runs `edtalk animate` with the files of this folder; returns the motion that it saves."""
  rng = np.random.default_rng(0)
  PIL.Image.fromarray(rng.integers(256, size=(16, 16, 3), dtype=np.uint8)).save(tmp_path / 's.png')
  fakes.video(tmp_path / 'a.mp4', [40, 90, 140, 190, 240], 0)
  fakes.video(tmp_path / 'b.mp4', [50, 250], 1)
  fakes.sound(tmp_path / 'a.wav', fakes.tone(0.4))

  def animate(*line):
    files = ('--model', runs['reader'], '--source', 's.png', '--out', 'x.mp4', '--save-motion', 'm.npz', '--no-crop')
    cli.dispatch(['animate', *files, *line])
    return dict(np.load(tmp_path / 'm.npz'))

  with contextlib.chdir(tmp_path):
    yield animate


def motion_of(painter, path):
  frames = framing.driver_frames(path, painter.image_size, None)
  return painter.motion(np.stack([*frames]))


def test_animate_follows_its_drivers_and_says_what_it_wrote(animate, painter, capsys):
  moved = animate('--mouth', 'a.mp4', '--pose', 'b.mp4', '--extend', 'loop')
  assert 'wrote x.mp4: 5 frames, 0.20 s at 25 frames/s, silent' in capsys.readouterr().out
  assert len([*media.read_frames('x.mp4')]) == 5
  np.testing.assert_allclose(moved['mouth'], motion_of(painter, 'a.mp4')['mouth'], rtol=1e-4, atol=1e-5)
  looped = motion_of(painter, 'b.mp4')['pose'][[0, 1, 0, 1, 0]]
  np.testing.assert_allclose(moved['pose'], looped, rtol=1e-4, atol=1e-5)
  assert np.ptp(looped, axis=0).max() > 1e-3 and 'expression' not in moved


def test_animate_takes_presets_for_an_expression(animate, painter):
  moved = animate('--driver', 'a.mp4', '--expression', 'happy:0.5')
  np.testing.assert_array_equal(moved['expression'], np.full((5, 10), 2.0))
  seen = motion_of(painter, 'a.mp4')
  np.testing.assert_allclose(moved['pose'], seen['pose'], rtol=1e-4, atol=1e-5)
  moved = animate('--driver', 'b.mp4', '--expression', 'a.mp4')
  np.testing.assert_allclose(moved['expression'], seen['expression'][:2], rtol=1e-4, atol=1e-5)
  assert 'expression' not in animate('--driver', 'a.mp4', '--expression', 'still')


def test_animate_makes_motion_for_audio(animate, runs, tmp_path, capsys):
  makers = ('--pose-model', runs['flow'], '--expression-model', runs['semantic'])
  moved = animate('--audio', 'a.wav', '--mouth', 'a.mp4', *makers, '--text', 'what a day', '--seed', '3')
  settings = making.Settings(source='s.png', crop=False, text='what a day', seed=3)
  made = making.make('a.wav', tmp_path / 'y.npz', pose=runs['flow'], expression=runs['semantic'], settings=settings)
  for bank in ('pose', 'expression'):
    np.testing.assert_allclose(moved[bank], made[bank][:5], rtol=1e-4, atol=1e-5)
  [file] = {word for word in capsys.readouterr().out.split() if word.endswith('made_up.npz')}
  assert not pathlib.Path(file).parent.exists()
  with pytest.raises(UserError, match='--pose and --pose-model: give one of them'):
    animate('--audio', 'a.wav', '--pose', 'b.mp4', '--pose-model', runs['flow'])
  with pytest.raises(UserError, match='--pose-model: makes up motion for a sound; give --audio'):
    animate('--pose-model', runs['flow'])


def test_the_pose_of_a_portrait_that_is_a_video_is_no_start(runs, tmp_path):
  portrait, sound = fakes.video(tmp_path / 's.mp4', [40, 90], 0), fakes.sound(tmp_path / 'a.wav', fakes.tone(0.4))
  with made_up(sound, {}, {'pose': runs['flow']}, portrait, seed=3) as further:
    moved = np.load(further['pose'])['pose']
  made = making.make(sound, tmp_path / 'y.npz', pose=runs['flow'], settings=making.Settings(seed=3))
  np.testing.assert_array_equal(moved, made['pose'])
  assert not pathlib.Path(further['pose']).parent.exists()


@pytest.mark.integration
def test_web_serves_by_its_limits_on_this_machine_until_it_is_stopped(runs):
  pytest.importorskip('gradio', reason='the page needs the extra [web]')
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  line = f'web --model {runs["reader"]} --port {port} --seconds 5 --pose-model {runs["flow"]}'
  command = [sys.executable, '-c', 'from edtalk_jax import cli; cli.main()', *line.split()]
  with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
    try:
      assert process.stdout.readline() == f'the page is at http://127.0.0.1:{port}/ (Ctrl-C ends it)\n'
      with urllib.request.urlopen(f'http://127.0.0.1:{port}/config', timeout=60) as answer:
        page = answer.read().decode()
      process.send_signal(signal.SIGTERM)
      assert process.wait(60) == 0
    finally:
      process.kill()
  assert 'at most 5 s and 100 MB each' in page and 'motion made up for it' in page


def test_prepare_without_videos_and_with_a_bad_size_is_one_line(tmp_path):
  with pytest.raises(UserError, match='give at least one video'):
    cli.dispatch(['prepare', '--out', str(tmp_path)])
  with pytest.raises(UserError, match='--size must be between'):
    cli.dispatch(['prepare', 'videos', '--out', str(tmp_path), '--size', '4'])
  with pytest.raises(UserError, match="--limits: unknown option 'max_jaw'; Limits has min_face, "):
    cli.dispatch(['prepare', 'videos', '--out', str(tmp_path), '--limits', 'max_yaw=40', 'max_jaw=1'])


@pytest.mark.integration
def test_root_eval_is_the_same_command():
  done = subprocess.run([sys.executable, 'eval.py', '--help'], capture_output=True, text=True, cwd=ROOT, timeout=60)
  assert done.returncode == 0, done.stderr
  assert 'usage: eval.py' in done.stdout and '--workdir' in done.stdout
