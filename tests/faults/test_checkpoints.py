"""Checkpoints that were damaged, half written, or of another run: named in one line, never silently wrong."""

import asyncio
import dataclasses
import gc
import resource
import shutil
import sys
import types

import jax
import pytest

from benchmarks.fuzz import checkpoints as fuzz
from benchmarks.fuzz import records as fuzz_records
from edtalk_jax import terminal
from edtalk_jax.config import CheckpointConfig, Config, ModelConfig, RunConfig, UserError
from edtalk_jax.training import checkpoint, hand_off, integrity, metrics, record
from edtalk_jax.training.shelf import Shelf


def orbax_complains(test):
  """Lets the coroutines and threads that a failed save or restore leaves behind complain on their own."""
  for warning in ('PytestUnraisableExceptionWarning', 'PytestUnhandledThreadExceptionWarning'):
    test = pytest.mark.filterwarnings(f'ignore::pytest.{warning}')(test)
  return test


@pytest.fixture(scope='module')
def pristine(tmp_path_factory):
  """A run with checkpoints of steps 10, 20 and 30, whose arrays follow from the step. Not to be changed."""
  workdir = tmp_path_factory.mktemp('pristine') / 'run'
  fuzz.make_run(workdir)
  return workdir


@pytest.fixture
def workdir(pristine, tmp_path):
  """A copy to damage."""
  shutil.copytree(pristine, tmp_path / 'run')
  return tmp_path / 'run'


def saver(workdir, keep=3):
  return checkpoint.Checkpoints(workdir, CheckpointConfig(keep=keep), record.read(workdir))


def files(workdir, step=30):
  return sorted(path for path in Shelf(workdir).path(step).rglob('*') if path.is_file())


def test_what_was_saved_is_restored_whole(workdir):
  said = []
  assert fuzz.resume(workdir, said) == (30, True)
  assert fuzz.read(workdir, said) == (30, True)
  assert said == []


def test_a_flipped_bit_in_any_file_is_found(workdir):
  """One flip in every file in turn: Orbax alone restores some of these without a word."""
  assert len(files(workdir)) > 15
  for path in files(workdir):
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(integrity.Damaged, match=f'^{path.relative_to(workdir / "checkpoints/30").as_posix()} '):
      Shelf(workdir).verify(30)
    path.write_bytes(content)
  Shelf(workdir).verify(30)


def test_resuming_moves_a_damaged_checkpoint_aside_and_cuts_the_log(workdir):
  victim = files(workdir)[5]
  victim.write_bytes(b'')
  said = []
  assert fuzz.resume(workdir, said) == (20, True)
  assert len(said) == 1 and '\n' not in said[0]
  assert all(text in said[0] for text in (f'{workdir}/checkpoints/30', victim.name, '0 bytes', '30.damaged'))
  assert (workdir / 'checkpoints/30.damaged').is_dir()
  assert [line['step'] for line in metrics.read_lines(workdir / metrics.FILE)] == list(range(1, 21))


def test_readers_name_a_damaged_checkpoint_and_leave_it(workdir, capsys):
  victim = next(path for path in files(workdir) if path.parts[-2] == 'd')
  victim.unlink()
  opened = hand_off.open_run(str(workdir))
  assert opened.step == 20
  warning = capsys.readouterr().err
  assert warning.count('\n') == 1 and 'checkpoints/30 is damaged' in warning and 'using step 20' in warning
  assert Shelf(workdir).steps() == [10, 20, 30]


def test_readers_verify_only_what_they_read(workdir):
  next(path for path in files(workdir) if 'training' in path.parts).unlink()
  assert hand_off.open_run(str(workdir), parts=('model',)).step == 30


def test_the_best_is_the_whole_one_of_the_lowest_loss(workdir):
  said = []
  assert Shelf(workdir).find('best', said.append) == 30  # losses fall with the step
  (workdir / 'checkpoints/30/manifest.json').write_text('{')
  assert Shelf(workdir).find('best', said.append) == 20
  assert said == [f'{workdir}/checkpoints/30 is damaged: manifest.json is not a manifest; using step 20']


def test_without_a_whole_checkpoint_a_run_stops_instead_of_starting_from_scratch(workdir):
  for step in fuzz.STEPS:
    (Shelf(workdir).path(step) / integrity.FILE).unlink()
  for _ in range(2):  # the second time, too
    with pytest.raises(UserError, match=r'no whole checkpoint is left, only 10\.damaged, 20\.damaged, 30\.damaged'):
      checkpoint.resume_step(workdir, lambda line: None)


def test_leftovers_of_a_killed_save_and_deletion_are_cleared(workdir):
  shelf, said = Shelf(workdir), []
  shelf.path(10).rename(shelf.folder / '10.old')
  for name in ('40.part', '40.part.orbax-checkpoint-tmp'):
    shutil.copytree(shelf.path(30), shelf.folder / name)
  assert checkpoint.resume_step(workdir, said.append) == 30
  assert sorted(path.name for path in shelf.folder.iterdir()) == ['20', '30']
  assert len(said) == 2 and all('not finished' in line for line in said)


def test_a_checkpoint_under_another_number_is_damaged(workdir):
  Shelf(workdir).path(30).rename(Shelf(workdir).path(31))
  said = []
  assert checkpoint.resume_step(workdir, said.append) == 20
  assert 'it holds step 30, not 31' in said[0]


@orbax_complains
def test_a_disk_that_refuses_stops_the_save_and_keeps_what_is_there(workdir):
  """The limit on a file's size makes writes fail in the same place as a full disk, without one."""
  before = {path: path.read_bytes() for path in files(workdir)}
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
  try:
    refused = pytest.raises(UserError, match=r'checkpoints/40: could not be saved \(.*File too large\); checkpoints')
    with refused as caught, saver(workdir) as checkpoints:
      checkpoints.save(jax.device_put(fuzz.make_state(40)), validation_loss=1.0)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert '\n' not in str(caught.value)
  gc.collect()
  assert {path: path.read_bytes() for path in files(workdir)} == before
  assert Shelf(workdir).steps() == [10, 20, 30]


def test_writes_that_end_after_a_failed_save_print_no_traceback():
  shown = []
  for error, source in (
    (RuntimeError('Event loop is closed'), None),
    (RuntimeError('Event loop is closed'), 'ours'),
    (RuntimeError('another'), None),
    (ValueError('Event loop is closed'), None),
  ):
    terminal.without_abandoned_work(shown.append, types.SimpleNamespace(exc_value=error, object=source))
  assert [(str(found.exc_value), found.object) for found in shown] == [
    ('Event loop is closed', 'ours'),
    ('another', None),
    ('Event loop is closed', None),
  ]


def test_reads_that_are_thrown_away_unfinished_print_no_traceback():
  shown, messages = [], []

  async def read():
    try:
      await asyncio.sleep(0)
    except GeneratorExit as error:
      raise ValueError('closed') from error

  def look(unraisable):
    messages.append(str(unraisable.exc_value))
    terminal.without_abandoned_work(shown.append, unraisable)

  before, sys.unraisablehook = sys.unraisablehook, look
  try:
    reading = read()
    reading.send(None)
    del reading
    gc.collect()
  finally:
    sys.unraisablehook = before
  assert messages == ['closed'] and not shown
  terminal.without_abandoned_work(shown.append, types.SimpleNamespace(exc_value=ValueError('ours'), object=None))
  assert len(shown) == 1


def test_a_full_disk_stops_the_save_before_it_begins(workdir, monkeypatch):
  monkeypatch.setattr(shutil, 'disk_usage', lambda path: types.SimpleNamespace(free=1000))
  state = jax.device_put(fuzz.make_state(40))
  refused = pytest.raises(UserError, match=r'40: could not be saved \(No space left on device: it needs 0\.01 MB, 0')
  with refused, saver(workdir) as checkpoints:
    checkpoints.save(state, validation_loss=1.0)
  assert Shelf(workdir).steps() == [10, 20, 30]


def test_a_folder_that_cannot_be_made_stops_the_save(tmp_path):
  (tmp_path / 'checkpoints').write_text('a file')  # root may write into read-only folders, but not into this
  refused = pytest.raises(UserError, match=r'checkpoints/10: could not be saved \(.*\); checkpoints of earlier')
  with refused, checkpoint.Checkpoints(tmp_path, CheckpointConfig(), {}) as checkpoints:
    checkpoints.save(jax.device_put(fuzz.make_state(10)), validation_loss=1.0)


def test_the_newest_and_the_best_are_kept(workdir):
  with saver(workdir, keep=2) as checkpoints:
    for step, loss in ((40, 0.001), (50, float('nan')), (60, 1.0), (70, 1.0)):
      checkpoints.save(jax.device_put(fuzz.make_state(step)), validation_loss=loss)
  assert Shelf(workdir).steps() == [40, 60, 70]


def test_a_state_of_other_arrays_is_named_array_by_array(workdir):
  state = jax.device_put(fuzz.make_state(30))
  model = {**state.model, 'extra': {'bias': state.model['layer_0']['kernel']}}
  del model['layer_2']
  with pytest.raises(UserError) as caught:
    checkpoint.restore(workdir, 30, fuzz.abstract(state.replace(model=model)))
  text = str(caught.value)
  assert 'model/extra/bias is absent there and float32[8,16] here' in text
  assert 'model/layer_2/kernel is float32[8,16] there and absent here' in text
  assert '(2 arrays differ)' in text and '\n' not in text


def test_settings_versions_and_data_are_compared_field_by_field(workdir):
  old = Shelf(workdir).about(30)['run']
  config = Config(run=RunConfig(stage='mouth_pose'), model=ModelConfig(style_dim=64))
  other = {**old, 'config': dataclasses.asdict(config), 'data': {'fingerprint': 'another'}}
  with pytest.raises(UserError) as caught:
    record.check_same(workdir, old, other)
  assert all(
    text in str(caught.value)
    for text in (
      'model.style_dim: 512 there, 64 here',
      "run.stage: 'reconstruction' there, 'mouth_pose' here",
      'data set: none there, another here',
    )
  )
  versions = {**old['versions'], 'jax': '0.1'}
  newer = {**old, 'config': dataclasses.asdict(Config(run=RunConfig(steps=7))), 'versions': versions}
  record.check_same(workdir, old, newer)
  assert record.other_versions(old, newer) == f'jax {jax.__version__} then, 0.1 now'
  old['config']['model']['wings'] = 2
  with pytest.raises(UserError, match=r"written by edtalk_jax \S+, this is \S+: unknown option 'model\.wings'"):
    record.check_same(workdir, old, newer)


def test_parameters_are_handed_over_into_the_sharding_of_those_they_replace(workdir):
  """As with several processes, where no device may hold a whole array of another's."""
  mesh = jax.make_mesh((2,), ('fsdp',), devices=jax.devices()[:2], axis_types=(jax.sharding.AxisType.Auto,))
  split = jax.sharding.NamedSharding(mesh, jax.P(None, 'fsdp'))
  saved = fuzz.make_state(30)
  kernel = saved.model['layer_0']['kernel']
  model = {name: {'kernel': kernel + 1} for name in ('layer_0', 'layer_1')} | {'new': {'kernel': kernel}}
  fresh = jax.device_put({'model': model, 'discriminator': saved.discriminator}, split)
  params, report = hand_off.hand_off(fresh, hand_off.open_run(str(workdir)))
  assert report.new == ('model/new/kernel',) and report.unused == ('model/layer_2/kernel',)
  assert len(report.restored) == 5
  for name in ('layer_0', 'layer_1'):
    assert params['model'][name]['kernel'].sharding == split
    assert (params['model'][name]['kernel'] == saved.model[name]['kernel']).all()
  assert (params['model']['new']['kernel'] == saved.model['layer_0']['kernel']).all()


def test_random_damage_is_never_silent(pristine, tmp_path):
  """A few of the 200 that `python -m benchmarks.fuzz` does."""
  for seed in range(12):
    found = fuzz.trial(pristine, tmp_path / str(seed), seed)
    assert not found.details, f'seed {seed}: {found}'


@pytest.mark.release
def test_random_damage_of_records_is_never_silent(tmp_path):
  """A few of the 200; what `test_data_faults.py` does with single bits, with all else that may happen."""
  fuzz_records.make(tmp_path / 'pristine')
  for seed in range(6):
    found = fuzz_records.trial(tmp_path / 'pristine', tmp_path / str(seed), seed)
    assert not found.details, f'seed {seed}: {found}'


@orbax_complains
def test_the_fuzzer_sees_a_silent_error(pristine, tmp_path, monkeypatch):
  """Without verification, damage gets through: the harness can fail."""
  monkeypatch.setattr(integrity, 'verify_file', lambda *_: None)
  outcomes = {name for seed in range(12) for name in fuzz.trial(pristine, tmp_path / str(seed), seed).outcomes.values()}
  assert outcomes - {fuzz.UNTOUCHED, fuzz.EARLIER, fuzz.REFUSED}
  gc.collect()
