"""The `edtalk` command: help for newcomers, one line for mistakes, arguments that reach the library."""

import pathlib
import subprocess
import sys

import pytest

from edtalk_jax import animation, cli, model
from edtalk_jax.animation import making, presets
from edtalk_jax.config import UserError
from edtalk_jax.evaluation import run as evaluation_run
from edtalk_jax.training import run as training_run
from edtalk_jax.training.observe import Observe
from edtalk_jax.web import server
from edtalk_jax.web.service import Limits

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


def test_train_takes_overrides_in_any_grouping(monkeypatch):
  seen = {}

  def train(config, workdir, data, start_from, observe):
    seen.update(config=config, rest=(workdir, data, start_from), observe=observe)

  monkeypatch.setattr(training_run, 'train', train)
  cli.dispatch(
    [
      'train',
      '--config',
      TINY,
      '--workdir',
      'w',
      '--data',
      'd',
      '--from',
      'f',
      '--steps',
      '7',
      '--set',
      'optimizer.beta2=0.9',
      'run.seed=3',
      '--set',
      'log.every=5',
      '--profile',
      '5:6',
      '--dump-hlo',
      'h',
    ]
  )
  config = seen['config']
  assert (config.optimizer.beta2, config.run.seed, config.log.every, config.run.steps) == (0.9, 3, 5, 7)
  assert seen['rest'] == ('w', 'd', 'f') and seen['observe'] == Observe(profile=(5, 6), hlo='h')


def test_train_names_a_wrong_option():
  with pytest.raises(UserError, match=r'--set optimizer\.beta=0\.9: unknown option'):
    cli.dispatch(['train', '--config', TINY, '--workdir', 'w', '--data', 'd', '--set', 'optimizer.beta=0.9'])


def test_eval_passes_everything_on(monkeypatch):
  seen = {}
  monkeypatch.setattr(evaluation_run, 'run', lambda *args, **kwargs: seen.update(kwargs, args=args))
  cli.dispatch(['eval', '--workdir', 'w', '--data', 'd', '--which', 'best', '--clips', '3', '--no-landmarks'])
  assert seen['args'] == ('w', 'd') and seen['which'] == 'best' and seen['landmarks'] is False
  assert (seen['settings'].clips, seen['settings'].frames) == (3, 10)


def test_animate_passes_drivers_and_says_what_it_wrote(monkeypatch, capsys):
  seen = {}

  def animate(loaded, source, drivers, out, **options):
    seen.update(options, source=source, drivers=drivers)
    return [animation.Animated(out, 50, 2.0, True)]

  monkeypatch.setattr(model, 'load', lambda path, which, **options: (path, which))
  monkeypatch.setattr(animation, 'animate', animate)
  cli.dispatch(
    [
      'animate',
      '--model',
      'm',
      '--source',
      's.png',
      '--mouth',
      'a.mp4',
      '--pose',
      'b.mp4',
      '--out',
      'x.mp4',
      '--extend',
      'loop',
      '--no-crop',
    ]
  )
  assert seen['drivers'] == {'mouth': 'a.mp4', 'pose': 'b.mp4'}
  assert (seen['source'], seen['driver']) == ('s.png', None)
  assert seen['options'] == animation.Options(extend='loop', crop=False)
  assert 'wrote x.mp4: 50 frames, 2.00 s' in capsys.readouterr().out


def test_animate_takes_presets_for_an_expression(monkeypatch):
  seen = {}
  made = {name: presets.Preset((weight,), (0.0,), 1, 1) for name, weight in (('neutral', 1.0), ('happy', 3.0))}

  def animate(loaded, source, drivers, out, **options):
    seen.update(options, drivers=drivers)
    return [animation.Animated(out, 50, 2.0, True)]

  monkeypatch.setattr(model, 'load', lambda *args, **options: 'loaded')
  monkeypatch.setattr(presets, 'read', lambda folder, loaded: presets.Presets(7, 'digest', 'train', made))
  monkeypatch.setattr(animation, 'animate', animate)
  base = ['animate', '--model', 'm', '--source', 's.png', '--out', 'x.mp4', '--driver', 'd.mp4', '--expression']
  cli.dispatch([*base, 'happy:0.5'])
  assert seen['drivers'] == {} and seen['weights']['expression'].tolist() == [[2.0]]
  cli.dispatch([*base, 'smile.mp4'])
  assert seen['drivers'] == {'expression': 'smile.mp4'} and seen['weights'] == {}


def test_animate_makes_up_motion_for_a_sound(monkeypatch, tmp_path):
  seen = {}

  def make(sound, out, *, settings, **runs):
    seen.update(sound=sound, out=out, settings=settings, runs=runs)

  def animate(loaded, source, drivers, out, **options):
    seen.update(drivers=drivers)
    return []

  monkeypatch.setattr(model, 'load', lambda *args, **options: 'loaded')
  monkeypatch.setattr(animation, 'animate', animate)
  monkeypatch.setattr(making, 'make', make)
  base = ['animate', '--model', 'm', '--source', str(tmp_path / 's.mp4'), '--out', 'x.mp4']
  cli.dispatch(
    [
      *base,
      '--audio',
      'a.wav',
      '--mouth',
      'm.mp4',
      '--pose-model',
      'p',
      '--expression-model',
      'e',
      '--text',
      'what a day',
      '--seed',
      '3',
      '--no-crop',
    ]
  )
  assert (seen['sound'], seen['runs']) == ('a.wav', {'pose': 'p', 'expression': 'e'})
  assert seen['settings'] == making.Settings(source='', crop=False, text='what a day', seed=3)
  assert seen['drivers'] == {'mouth': 'm.mp4', 'pose': seen['out'], 'expression': seen['out']}
  assert not pathlib.Path(seen['out']).parent.exists()
  with pytest.raises(UserError, match='--pose and --pose-model: give one of them'):
    cli.dispatch([*base, '--audio', 'a.wav', '--pose', 'p.mp4', '--pose-model', 'p'])
  with pytest.raises(UserError, match='--pose-model: makes up motion for a sound; give --audio'):
    cli.dispatch([*base, '--pose-model', 'p'])
  cli.dispatch([*base, '--driver', 'd.mp4', '--expression', 'still'])
  assert seen['drivers'] == {'expression': 'still'}


def test_web_passes_limits_on_and_stays_on_this_machine(monkeypatch):
  seen = {}
  monkeypatch.setattr(model, 'load', lambda *args, **options: 'loaded')
  monkeypatch.setattr(server, 'serve', lambda loaded, run, **options: seen.update(options, run=run))
  cli.dispatch(['web', '--model', 'm', '--seconds', '5', '--pose-model', 'p'])
  assert (seen['run'], seen['host'], seen['makers']) == ('m', '127.0.0.1', {'pose': 'p'})
  assert seen['limits'] == Limits(seconds=5)


def test_prepare_without_videos_and_with_a_bad_size_is_one_line(tmp_path):
  with pytest.raises(UserError, match='give at least one video'):
    cli.dispatch(['prepare', '--out', str(tmp_path)])
  with pytest.raises(UserError, match='--size must be between'):
    cli.dispatch(['prepare', 'videos', '--out', str(tmp_path), '--size', '4'])
  with pytest.raises(UserError, match="--limits: unknown option 'max_jaw'; Limits has min_face, "):
    cli.dispatch(['prepare', 'videos', '--out', str(tmp_path), '--limits', 'max_yaw=40', 'max_jaw=1'])


def test_root_eval_is_the_same_command():
  done = subprocess.run([sys.executable, 'eval.py', '--help'], capture_output=True, text=True, cwd=ROOT, timeout=60)
  assert done.returncode == 0, done.stderr
  assert 'usage: eval.py' in done.stdout and '--workdir' in done.stdout
