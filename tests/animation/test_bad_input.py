"""What people give by mistake: each is one clear line, or the right result."""

import io
import struct

import av
import numpy as np
import PIL.Image
import pytest

from data_pipeline import media
from data_pipeline.errors import DataError
from edtalk_jax import animation
from edtalk_jax.animation import drivers, framing
from edtalk_jax.config import UserError
from tests.animation.fakes import SIZE, FakeModel, sound, tone, video


@pytest.fixture
def run(tmp_path):
  PIL.Image.new('RGB', (SIZE, SIZE), (50, 50, 200)).save(tmp_path / 'portrait.png')

  def run(mouth, source=None, **files):
    options = animation.Options(crop=False)
    source, drivers = source or str(tmp_path / 'portrait.png'), {'mouth': str(mouth)} if mouth else {}
    [done] = animation.animate(FakeModel(), source, drivers, str(tmp_path / 'out.mp4'), options=options, **files)
    return done

  return run


def test_silence_is_sound(tmp_path, run):
  done = run(sound(tmp_path / 'silent.wav', np.zeros(16_000)))
  assert (done.frames, done.sound) == (25, True)


@pytest.mark.parametrize('seconds, frames', [(0.05, 1), (0.1, 2)])
def test_very_short_sound(tmp_path, run, seconds, frames):
  assert run(sound(tmp_path / 'short.wav', tone(seconds))).frames == frames


@pytest.mark.parametrize('seconds', [0, 0.03])
def test_sound_shorter_than_a_frame_is_refused(tmp_path, run, seconds):
  path = sound(tmp_path / 'short.wav', tone(seconds))
  with pytest.raises(UserError, match=r'short\.wav: holds \d+ ms of sound, expected at least 40 ms'):
    run(path)


def test_a_driver_of_neither_pictures_nor_sound(tmp_path, run):
  (tmp_path / 'notes.txt').write_text('not a video')
  (tmp_path / 'empty.mp4').touch()
  for name in ('notes.txt', 'empty.mp4'):
    with pytest.raises(DataError, match=f'{name}: cannot be opened'):
      run(tmp_path / name)


def test_a_silent_video_cannot_be_heard(tmp_path, run):
  silent = video(tmp_path / 'silent.mp4', [100] * 3, 0)
  with pytest.raises(UserError, match=r'silent\.mp4: holds no sound'):
    run(None, audio=silent)


def test_sound_drives_no_head(tmp_path, run):
  path = sound(tmp_path / 'a.wav', tone(1))
  with pytest.raises(UserError, match=r'--pose .*a\.wav: sound drives the mouth only'):
    animation.animate(
      FakeModel(),
      str(tmp_path / 'portrait.png'),
      {'pose': path},
      str(tmp_path / 'out.mp4'),
      options=animation.Options(crop=False),
    )


def test_a_portrait_that_is_sound(tmp_path, run):
  path = sound(tmp_path / 'a.wav', tone(1))
  with pytest.raises(DataError, match=r'a\.wav: holds no video stream'):
    run(path, source=path)


def test_a_cover_picture_is_no_video(tmp_path):
  cover = io.BytesIO()
  PIL.Image.new('RGB', (64, 64)).save(cover, 'JPEG')
  path = str(tmp_path / 'song.mp4')
  with av.open(path, 'w') as container:
    stream = container.add_stream('aac', rate=16_000, layout='mono')
    picture = container.add_stream('mjpeg', rate=1)
    picture.width = picture.height = 64
    picture.pix_fmt, picture.disposition = 'yuvj420p', av.stream.Disposition.attached_pic
    container.mux(picture.encode(av.VideoFrame(64, 64, 'yuvj420p')))
    container.mux(picture.encode(None))
    for first in range(0, 16_000, 1024):
      frame = av.AudioFrame.from_ndarray(tone(1.0)[None, first : first + 1024], format='fltp', layout='mono')
      frame.sample_rate, frame.pts = 16_000, first
      container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
  assert media.tracks(path) == (False, True) and drivers.kind(path) == 'sound'


def test_a_video_that_claims_too_many_pixels(tmp_path):
  path = tmp_path / 'v.avi'
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('rawvideo', rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 32, 'bgr24'
    container.mux(stream.encode(av.VideoFrame(64, 32, 'bgr24')))
  data = bytearray(path.read_bytes())
  width = data.index(b'strf') + 12  # after the sizes of the chunk and of the header in it
  data[width : width + 8] = struct.pack('<2i', 12_000, 12_000)
  path.write_bytes(data)
  with pytest.raises(DataError, match=r'v\.avi: claims 12000x12000 pixels, at most 100000000 can be read'):
    list(framing.driver_frames(str(path), SIZE, None))


@pytest.mark.parametrize(
  'name, value, message',
  [
    ('fps', 0, '--fps 0: expected 1 to 120'),
    ('smooth', -1, '--smooth -1: expected 0 to 100'),
    ('face', 'second', '--face second: expected largest, only, or a number from 1'),
    ('extend', 'stretch', '--extend stretch: expected hold'),
    ('longest', 10, '--longest 10: expected 64 to 8192'),
  ],
)
def test_options_out_of_range_are_named(name, value, message):
  with pytest.raises(UserError, match=message):
    animation.Options(**{name: value})


@pytest.mark.release
@pytest.mark.parametrize('name', ['v.mp4', 'v.mkv', 'a.wav', 'a.flac'])
def test_damaged_headers_give_motion_or_one_line(tmp_path, name):
  path, rng = tmp_path / name, np.random.default_rng(3)
  if name.startswith('v'):
    video(tmp_path / 'v.mp4', [60, 120, 180], 0, seconds_of_sound=0.2)
  if name == 'v.mkv':
    _remux(tmp_path / 'v.mp4', path)
  if name.startswith('a'):
    sound(tmp_path / 'a.wav', tone(0.2))
  if name == 'a.flac':
    _convert(tmp_path / 'a.wav', path)
  whole, refused = path.read_bytes(), 0
  edges = np.r_[: min(400, len(whole)), max(0, len(whole) - 800) : len(whole)]  # where headers and indexes are
  for trial in range(40):
    data = bytearray(whole if trial % 3 else whole[: rng.integers(1, len(whole))])
    for place in rng.choice(edges, size=6):
      data[min(place, len(data) - 1)] = rng.integers(256)
    path.write_bytes(data)
    try:
      motion = drivers.read(FakeModel(), str(path), {'mouth': True}, None, 25)
    except (DataError, UserError) as error:
      assert '\n' not in str(error) and name in str(error)
      refused += 1
    else:
      assert motion['mouth'].dtype == np.float32 and np.isfinite(motion['mouth']).all()
  assert refused


def _remux(source, target):
  with av.open(str(source)) as read, av.open(str(target), 'w') as write:
    streams = {stream.index: write.add_stream_from_template(stream) for stream in read.streams}
    for packet in read.demux():
      if packet.dts is not None:
        packet.stream = streams[packet.stream.index]
        write.mux(packet)


def _convert(source, target):
  with av.open(str(source)) as read, av.open(str(target), 'w') as write:
    stream = write.add_stream('flac', rate=16_000, layout='mono')
    for frame in read.decode(audio=0):
      write.mux(stream.encode(frame))
    write.mux(stream.encode(None))
