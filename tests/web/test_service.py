"""What visitors of the page may ask for, what becomes of it, and which files are opened and kept."""

import contextlib
import ctypes
import os
import pathlib

import numpy as np
import PIL.Image
import pytest

from data_pipeline import media
from edtalk_jax import animation
from edtalk_jax import model as model_lib
from edtalk_jax.animation import making, presets
from edtalk_jax.config import UserError
from edtalk_jax.web.service import Job, Limits, Service
from tests import untrained
from tests.animation.fakes import SIZE, FakeModel, sound, tone, video
from tests.web import pages

pytestmark = pages.pytestmark  # of the page of an earlier test
PLAIN = animation.Options(crop=False)


def fake_model(banks=('mouth', 'pose'), hears=False):
  model = FakeModel(banks=banks)
  model.hears = hears
  return model


@pytest.fixture
def folder(tmp_path):
  """Where uploads are, apart from the rest of the machine."""
  uploads = tmp_path / 'uploads'
  uploads.mkdir()
  PIL.Image.new('RGB', (SIZE, SIZE), (50, 50, 200)).save(uploads / 'portrait.png')
  return uploads


def _job(folder, **fields):
  return Job(source=str(folder / 'portrait.png'), options=PLAIN, **fields)


def _means(path):
  return np.stack([frame.mean((0, 1)) for frame in media.read_frames(path)])


def test_each_space_follows_what_it_is_told(folder):
  driver = video(folder / 'driver.mp4', [150] * 4, 0, seconds_of_sound=1)
  pose = video(folder / 'pose.mp4', [90] * 2, 1)
  service = Service(fake_model(), folder)
  said, job = [], _job(folder, driver=driver, follows={'mouth': 'driver', 'pose': 'file'}, files={'pose': pose})
  made = service.make(job, said.append)
  assert 'reading the motion of pose.mp4' in said
  assert (made.done.frames, made.done.sound) == (4, True)
  np.testing.assert_allclose(_means(made.video)[:, :2], [[150, 90]] * 4, atol=6)  # H.264 keeps flat colours to that
  assert dict(np.load(made.motion))['pose'].shape == (4, 1)
  still = service.make(_job(folder, driver=driver, follows={'mouth': 'driver', 'pose': 'still'}))
  np.testing.assert_allclose(_means(still.video)[:, 1], 50, atol=6)


def test_sound_moves_the_mouth_of_a_model_that_hears_and_the_video_the_rest(folder):
  driver = video(folder / 'driver.mp4', [90] * 30, 1)
  talk = sound(folder / 'talk.wav', tone(0.4))
  service = Service(fake_model(hears=True), folder)
  follows = {'mouth': 'sound', 'pose': 'driver'}
  made = service.make(_job(folder, driver=driver, audio=talk, follows=follows))
  assert (made.done.frames, made.done.sound) == (10, True)
  np.testing.assert_allclose(_means(made.video)[:, 1], 90, atol=6)
  assert service.make(_job(folder, driver=driver, follows=follows)).done.frames == 30  # no sound: the video moves it


def test_sound_of_a_deaf_model_is_heard_only(folder):
  driver, talk = video(folder / 'driver.mp4', [90] * 5, 0), sound(folder / 'talk.wav', tone(0.4))
  made = Service(fake_model(), folder).make(_job(folder, driver=driver, audio=talk, follows={'pose': 'driver'}))
  assert (made.done.frames, made.done.sound) == (5, True)


def test_emotions_are_mixed(folder):
  banks = ('mouth', 'pose', 'expression')
  means = {'neutral': 20.0, 'happy': 120.0, 'sad': 60.0}
  found = presets.Presets(1, 'digest', 'train', {name: presets.Preset((m,), (0.0,), 1, 1) for name, m in means.items()})
  service = Service(fake_model(banks), folder, presets=found)
  assert service.emotions == ('happy', 'sad')
  job = _job(folder, follows={'expression': 'emotions'}, emotions={'happy': 0.5, 'sad': 1.5})
  np.testing.assert_allclose(_means(service.make(job).video)[:, 2], [20 + 50 + 60], atol=6)
  neutral = _job(folder, follows={'expression': 'emotions'}, emotions={'happy': 0.0, 'sad': 0.0})
  np.testing.assert_allclose(_means(service.make(neutral).video)[:, 2], [20], atol=6)
  with pytest.raises(UserError, match='has no emotions yet'):
    Service(fake_model(banks), folder).make(job)


@pytest.mark.integration
def test_motion_may_be_made_up_for_the_sound(folder, tmp_path):
  runs = untrained.save_family(tmp_path / 'runs')
  talk, makers = sound(folder / 'talk.wav', tone(0.4)), {'pose': runs['flow'], 'expression': runs['semantic']}
  service = Service(model_lib.load(runs['reader']), folder, makers=makers)
  job = _job(folder, audio=talk, follows={'pose': 'made', 'expression': 'made'}, text='hello')
  made = service.make(job)
  assert (made.done.frames, made.done.sound) == (10, True)
  settings = making.Settings(source=job.source, crop=False, text='hello')
  expected = making.make(talk, tmp_path / 'x.npz', pose=runs['flow'], expression=runs['semantic'], settings=settings)
  moved = dict(np.load(made.motion))
  for bank in ('pose', 'expression'):
    np.testing.assert_allclose(moved[bank], expected[bank], rtol=1e-5, atol=1e-6)
  assert 'mouth' not in moved


@contextlib.contextmanager
def watched(path):
  """Yields a function that says whether anything has opened the file since, FFmpeg included."""
  libc = ctypes.CDLL(None, use_errno=True)
  watch = libc.inotify_init1(os.O_NONBLOCK)
  assert watch >= 0 and libc.inotify_add_watch(watch, os.fsencode(path), 0x20) >= 0  # IN_OPEN

  def opened():
    try:
      return bool(os.read(watch, 4096))
    except BlockingIOError:
      return False

  try:
    yield opened
  finally:
    os.close(watch)


@pytest.mark.parametrize('name', ['secret.png', 'link.png', '../secret.png'])
def test_files_that_were_not_uploaded_are_never_opened(folder, name):
  secret = folder.parent / 'secret.png'
  PIL.Image.new('RGB', (SIZE, SIZE)).save(secret)
  (folder / 'link.png').symlink_to(secret)
  path = str(secret if name == 'secret.png' else folder / name)
  driver = video(folder / 'driver.mp4', [90] * 2, 0)
  for job in (
    Job(source=path, driver=driver, follows={'mouth': 'driver'}),
    _job(folder, driver=path, follows={'mouth': 'driver'}),
    _job(folder, driver=driver, audio=path, follows={'mouth': 'driver'}),
    _job(folder, follows={'mouth': 'file'}, files={'mouth': path}),
  ):
    with watched(secret) as opened:
      with pytest.raises(UserError, match=r'^(secret|link)\.png: was not uploaded$'):
        Service(fake_model(), folder).make(job)
      assert not opened()
      secret.read_bytes()
      assert opened()
    assert not list(folder.glob('result_*'))


def test_long_files_are_refused_whatever_they_are(folder):
  service = Service(fake_model(hears=True), folder, Limits(seconds=1))
  seen = video(folder / 'seen.mp4', [90] * 26, 0)
  make = lambda **fields: service.make(_job(folder, **fields))
  assert make(driver=seen, follows={'mouth': 'driver'}).done.frames == 26  # a frame more is within rounding
  long = video(folder / 'long.mp4', [90] * 30, 0)
  heard = sound(folder / 'heard.wav', tone(1.5))
  np.savez(folder / 'moved.npz', mouth=np.zeros((3, 1)), fps=0.5)
  moved = str(folder / 'moved.npz')
  with pytest.raises(UserError, match=r'^long\.mp4: lasts 1\.2 s, at most 1 s are taken$'):
    make(driver=long, follows={'mouth': 'driver'})
  with pytest.raises(UserError, match=r'^heard\.wav: lasts 1\.5 s'):
    make(audio=heard, follows={'mouth': 'sound'})
  with pytest.raises(UserError, match=r'^moved\.npz: lasts 6\.0 s'):
    make(follows={'mouth': 'file'}, files={'mouth': moved})
  with pytest.raises(UserError, match=r'^long\.mp4: lasts'):
    service.make(Job(source=long, driver=seen, follows={'mouth': 'driver'}, options=PLAIN))


def test_mistakes_are_one_line_without_folders_and_leave_no_result(folder):
  service = Service(fake_model(), folder)
  (folder / 'broken.mp4').write_bytes(b'no video')
  with pytest.raises(UserError, match=r'^broken\.mp4: cannot be opened'):
    service.make(_job(folder, driver=str(folder / 'broken.mp4'), follows={'mouth': 'driver'}))
  with pytest.raises(UserError, match=r'^Nothing moves the portrait: give a driving video'):
    service.make(_job(folder, follows={'mouth': 'driver', 'pose': 'still'}))
  with pytest.raises(UserError, match=r'^Give a portrait first'):
    service.make(Job(source=''))
  with pytest.raises(UserError, match=r'^gone\.mp4: was deleted after 60 minutes'):
    service.make(_job(folder, driver=str(folder / 'gone.mp4'), follows={'mouth': 'driver'}))
  assert not list(folder.glob('result_*'))
  with pytest.raises(UserError, match='--seconds 0: expected more than 0'):
    Limits(seconds=0)


def test_old_files_are_swept_away(folder):
  service = Service(fake_model(), folder, Limits(minutes=10))
  old, new = folder / 'a' / 'old.mp4', folder / 'b' / 'new.mp4'
  for path, age in ((old, 11), (new, 9)):
    path.parent.mkdir()
    path.touch()
    for each in (path, path.parent):
      os.utime(each, (0, pathlib.Path(folder).stat().st_mtime - 60 * age))
  assert service.sweep() == 1
  assert not old.exists() and new.exists() and (folder / 'portrait.png').exists()
