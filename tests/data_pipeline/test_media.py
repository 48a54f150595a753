import contextlib
import errno
import os
import resource

import numpy as np
import pytest

from data_pipeline import media
from tests.data_pipeline import videos


def test_frames_come_back_in_order(tmp_path):
  path = videos.write(tmp_path / 'a.mp4', 30)
  numbers = [videos.number(image) for image in media.read_frames(path)]
  assert numbers == list(range(30))


@pytest.mark.parametrize(('fps', 'expected'), [(50, list(range(0, 40, 2))), (12.5, [k // 2 for k in range(80)])])
def test_other_rates_are_resampled_to_25(tmp_path, fps, expected):
  path = videos.write(tmp_path / 'a.mp4', 40, fps=fps)
  numbers = [videos.number(image) for image in media.read_frames(path)]
  assert len(numbers) == len(expected)
  # Rounding half-way times may choose the neighbour; a drift would show as a growing difference.
  assert max(abs(a - b) for a, b in zip(numbers, expected, strict=True)) <= 1


def test_variable_rate_follows_timestamps_and_start_offset(tmp_path):
  times = [0, 40, 80, 280, 320, 360, 400]  # the frame at 80 ms stays for 200 ms
  path = videos.write_variable_rate(tmp_path / 'v.mkv', times, start_ms=500)
  numbers = [videos.number(image) for image in media.read_frames(path)]
  assert numbers == [0, 1, 2, 2, 2, 2, 2, 3, 4, 5, 6]


def test_rotation_of_the_display_matrix_is_applied(tmp_path):
  path = videos.write(tmp_path / 'r.mp4', 3)
  data = path.read_bytes()
  at = data.index(b'tkhd') + 4 + 40  # version, flags, times, id, duration, layer, volume come before the matrix
  fixed = lambda *values: np.array(values, '>i4').tobytes()
  one = 0x10000
  quarter_clockwise = fixed(0, one, 0, -one, 0, 0, 0, 0, 0x40000000)
  (tmp_path / 'q.mp4').write_bytes(data[:at] + quarter_clockwise + data[at + 36 :])
  upright, turned = (next(media.read_frames(tmp_path / name)) for name in ('r.mp4', 'q.mp4'))
  np.testing.assert_array_equal(turned, np.rot90(upright, -1))


def test_audio_is_aligned_with_the_video(tmp_path):
  sound = np.zeros(16_000, np.float32)
  sound[8_000:] = videos.tone(0.5)
  path = tmp_path / 'a.mp4'
  media.write_video(path, videos.pictures(25), 25, sound)
  heard = media.read_audio(path)
  onset = np.flatnonzero(np.abs(heard) > 0.1)[0]
  # AAC smears an edge over some of its 1024-sample window; unapplied priming would shift it by 1024.
  assert abs(onset - 8_000) < 200
  assert abs(len(heard) - 16_000) <= 1024


def click(seconds, at):
  """Blocks of 20 ms of silence with a click `at` seconds."""
  sound = np.zeros(round(seconds * media.AUDIO_RATE), np.float32)
  sound[round(at * media.AUDIO_RATE)] = 0.9
  return [(20 * k, block) for k, block in enumerate(sound.reshape(-1, 320))]


@pytest.mark.parametrize('video_ms', [0, 30, 520])
def test_sound_before_the_first_frame_is_cut(tmp_path, video_ms):
  path = videos.write_with_sound(tmp_path / 'a.mkv', video_ms, click(2, at=1.5))
  heard = media.read_audio(path)
  # Matroska's times are whole milliseconds (16 samples).
  assert abs(np.argmax(np.abs(heard)) - (1500 - video_ms) * 16) <= 16
  assert abs(len(heard) - (2000 - video_ms) * 16) <= 16


def test_a_hole_in_the_sound_becomes_silence(tmp_path):
  blocks = [block for block in click(2, at=1.5) if not 500 <= block[0] < 1000]
  heard = media.read_audio(videos.write_with_sound(tmp_path / 'a.mkv', 0, blocks))
  assert abs(np.argmax(np.abs(heard)) - 24_000) <= 16


def test_sound_after_a_broken_timestamp_is_dropped(tmp_path):
  day = 26 * 3600 * 1000
  blocks = [(begin if begin < 1000 else begin + day, block) for begin, block in click(2, at=0.5)]
  heard = media.read_audio(videos.write_with_sound(tmp_path / 'a.mkv', 0, blocks))
  assert abs(len(heard) - 16_000) <= 32 and abs(np.argmax(np.abs(heard)) - 8_000) <= 16


def test_audio_reader_gives_the_same_as_reading_at_once(tmp_path):
  path = videos.write(tmp_path / 'a.mp4', 50, audio_seconds=2)
  reader, whole = media.AudioReader(path), media.read_audio(path)
  parts = np.concatenate([reader.take(k, k + 5_000) for k in range(0, 30_000, 5_000)])
  np.testing.assert_array_equal(parts, np.round(whole[: len(parts)] * 32768).astype(np.int16))
  with pytest.raises(ValueError, match='forward only'):
    reader.take(0, 10)


def test_failed_writing_leaves_nothing_behind(tmp_path):
  def frames():
    yield videos.pictures(1)[0]
    raise RuntimeError('stop')

  with pytest.raises(RuntimeError, match='stop'):
    media.write_video(tmp_path / 'x.mp4', frames())
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ('content', 'reason'), [(None, 'no such file'), (b'', 'cannot be opened'), (b'x' * 5000, 'cannot')]
)
def test_unreadable_files_say_why(tmp_path, content, reason):
  path = tmp_path / 'bad name ü.mp4'
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(media.MediaError, match=reason):
    next(media.read_frames(path))


@contextlib.contextmanager
def no_more_open_files():
  """Lets this process open nothing more."""
  before = resource.getrlimit(resource.RLIMIT_NOFILE)
  with open(os.devnull) as file:
    lowest = file.fileno()  # that is free
  resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_shortage_of_the_machine_is_no_fault_of_the_file(tmp_path):
  path = videos.write(tmp_path / 'a.mp4', 3)
  with pytest.raises(OSError, match='Too many open files') as caught, no_more_open_files():
    next(media.read_frames(path))
  assert caught.value.errno == errno.EMFILE and not isinstance(caught.value, media.MediaError)
