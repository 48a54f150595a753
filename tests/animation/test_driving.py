"""Animation of made-up pictures by a model that can be predicted: lengths, rates, sound, sources, mistakes."""

import numpy as np
import PIL.Image
import pytest

from data_pipeline import media
from edtalk_jax import animation
from edtalk_jax.animation import sources
from edtalk_jax.config import UserError
from tests.animation.fakes import SIZE, FakeModel, sound, tone, video

PLAIN = animation.Options(crop=False)


@pytest.fixture
def portrait(tmp_path):
  path = tmp_path / 'portrait.png'
  PIL.Image.new('RGB', (SIZE, SIZE), (50, 50, 200)).save(path)
  return str(path)


def _means(path):
  return np.stack([frame.mean((0, 1)) for frame in media.read_frames(path)])


def test_mouth_sets_the_length_and_the_sound_and_pose_is_extended(tmp_path, portrait):
  mouth_levels = np.linspace(40, 220, 20)
  mouth = video(tmp_path / 'mouth.mp4', mouth_levels, 0, seconds_of_sound=3)
  pose = video(tmp_path / 'pose.mp4', [80, 120, 160], 1)
  out = str(tmp_path / 'folder' / 'out.mp4')
  options = animation.Options(crop=False, extend='pingpong')
  [done] = animation.animate(FakeModel(), portrait, {'mouth': mouth, 'pose': pose}, out, options=options)
  assert (done.frames, done.seconds, done.sound) == (20, 0.8, True)
  means = _means(out)
  assert len(means) == 20
  # H.264 in 4:2:0 with limited range keeps flat colours to a few grey levels.
  np.testing.assert_allclose(means[:, 0], mouth_levels, atol=6)
  np.testing.assert_allclose(means[:, 1], ([80, 120, 160, 120] * 5)[:20], atol=6)
  np.testing.assert_allclose(means[:, 2], 200, atol=6)
  audio = media.read_audio(out)
  assert abs(len(audio) / media.AUDIO_RATE - 0.8) < 0.07  # three seconds cut to the video; one AAC frame is 0.064 s
  assert np.abs(audio).max() > 0.2


def test_drivers_are_resampled_to_25_frames_a_second(tmp_path, portrait):
  mouth = video(tmp_path / 'mouth.mp4', [100] * 50, 0, fps=50)
  [done] = animation.animate(FakeModel(), portrait, {'mouth': mouth}, str(tmp_path / 'out.mp4'), options=PLAIN)
  assert (done.frames, done.sound) == (25, False)


def test_a_common_driver_fills_the_banks_that_are_not_named(tmp_path, portrait):
  driver = video(tmp_path / 'driver.mp4', [150] * 4, 0, seconds_of_sound=1)
  still = tmp_path / 'pose.png'
  PIL.Image.new('RGB', (SIZE, SIZE), (0, 90, 0)).save(still)
  out = str(tmp_path / 'out.mp4')
  [done] = animation.animate(FakeModel(), portrait, {'pose': str(still)}, out, driver=driver, options=PLAIN)
  assert (done.frames, done.sound) == (4, True)
  np.testing.assert_allclose(_means(out)[:, :2], [[150, 90]] * 4, atol=6)


def test_a_video_that_drives_two_banks_is_read_once_and_in_batches(tmp_path, portrait):
  driver = video(tmp_path / 'driver.mp4', [150] * 10, 0)
  model = FakeModel(batch_size=4)
  animation.animate(model, portrait, {'mouth': driver, 'pose': driver}, str(tmp_path / 'out.mp4'), options=PLAIN)
  assert model.calls == [('motion', 4), ('motion', 4), ('motion', 2), ('generate', 4), ('generate', 4), ('generate', 2)]


def test_given_weights_take_the_place_of_a_driver_and_last_as_long_as_it_does(tmp_path, portrait):
  driver = video(tmp_path / 'driver.mp4', [150] * 4, 0)
  out = str(tmp_path / 'out.mp4')
  weights = {'pose': np.array([[90.0]], np.float32)}
  [done] = animation.animate(FakeModel(), portrait, {}, out, driver=driver, weights=weights, options=PLAIN)
  assert done.frames == 4
  np.testing.assert_allclose(_means(out)[:, :2], [[150, 90]] * 4, atol=6)
  with pytest.raises(UserError, match='--eye: the model has no such motion space'):
    animation.animate(FakeModel(), portrait, {}, out, weights={'eye': weights['pose']}, options=PLAIN)


def test_frames_are_painted_as_they_are_asked_for():
  model = FakeModel(batch_size=4)
  frames = sources.paint(model, model.encode(np.zeros((SIZE, SIZE, 3), np.uint8)), {'mouth': np.zeros((1000, 1))})
  next(frames)
  assert model.calls == [('generate', 4)]


def test_mistakes_are_named(tmp_path, portrait):
  driver = video(tmp_path / 'driver.mp4', [150] * 4, 0)
  out = str(tmp_path / 'out.mp4')
  with pytest.raises(UserError, match='--expression: the model has no such motion space, only mouth, pose'):
    animation.animate(FakeModel(), portrait, {'expression': driver}, out, options=PLAIN)
  with pytest.raises(UserError, match=r'--mouth, --pose: this model .* give --driver FILE'):
    animation.animate(FakeModel(banks=('motion',)), portrait, {'mouth': driver, 'pose': driver}, out, options=PLAIN)
  with pytest.raises(UserError, match='nothing drives the portrait'):
    animation.animate(FakeModel(), portrait, {}, out, options=PLAIN)
  with pytest.raises(UserError, match=r'absent\.mp4: no such file'):
    animation.animate(FakeModel(), portrait, {'mouth': str(tmp_path / 'absent.mp4')}, out, options=PLAIN)
  assert not (tmp_path / 'out.mp4').exists()


def test_sound_drives_the_mouth_and_is_written(tmp_path, portrait):
  loud = np.concatenate([tone(0.6), np.zeros(6400), tone(0.6)])
  path, out = sound(tmp_path / 'talk.wav', loud), str(tmp_path / 'out.mp4')
  [done] = animation.animate(FakeModel(), portrait, {'mouth': path}, out, options=PLAIN)
  assert (done.frames, done.sound) == (40, True)
  mouth = _means(out)[:, 0]
  assert mouth[5:12].min() > mouth[18:22].max() + 20 and mouth[28:36].min() > mouth[18:22].max() + 20
  heard = media.read_audio(out)
  assert abs(len(heard) / 16000 - 1.6) < 0.07
  assert np.abs(heard[:9000]).max() > 0.3 and np.abs(heard[11000:15000]).max() < 0.05


def test_audio_drives_the_mouth_unless_another_driver_is_named_for_it(tmp_path, portrait):
  path, mouth = sound(tmp_path / 'talk.wav', tone(0.4)), video(tmp_path / 'mouth.mp4', [100] * 5, 0, seconds_of_sound=1)
  out = str(tmp_path / 'out.mp4')
  [heard] = animation.animate(FakeModel(), portrait, {}, out, audio=path, options=PLAIN)
  assert (heard.frames, heard.sound) == (10, True)
  [seen] = animation.animate(FakeModel(), portrait, {'mouth': mouth}, out, audio=path, options=PLAIN)
  assert (seen.frames, seen.sound) == (5, True)
  np.testing.assert_allclose(_means(out)[:, 0], 100, atol=6)


@pytest.mark.parametrize('fps', [12.5, 30])
def test_any_frame_rate(tmp_path, portrait, fps):
  mouth = video(tmp_path / 'mouth.mp4', np.linspace(40, 220, 25), 0)
  out, options = str(tmp_path / 'out.mp4'), animation.Options(crop=False, fps=fps)
  [done] = animation.animate(FakeModel(), portrait, {'mouth': mouth}, out, options=options)
  assert (done.frames, done.seconds) == (round(fps), round(fps) / fps)
  assert media.probe(out).fps == fps
  talk = sound(tmp_path / 'a.wav', tone(1.0))
  [spoken] = animation.animate(FakeModel(), portrait, {'mouth': talk}, out, options=options)
  # The last of 25 sound frames begins at 0.96 s: what lies after it is not known.
  assert spoken.frames == int(0.96 * fps) + 1


def test_stop_ends_with_the_shortest_driver_that_moves(tmp_path, portrait):
  mouth, pose = video(tmp_path / 'mouth.mp4', [90] * 9, 0), video(tmp_path / 'pose.mp4', [90] * 6, 1)
  options = animation.Options(crop=False, extend='stop')
  [done] = animation.animate(
    FakeModel(), portrait, {'mouth': mouth, 'pose': pose}, str(tmp_path / 'out.mp4'), options=options
  )
  assert done.frames == 6


def test_saved_motion_replays_and_mixes(tmp_path, portrait):
  driver, other = video(tmp_path / 'a.mp4', [60, 120, 180], 0), video(tmp_path / 'b.mp4', [50, 150, 200], 1)
  saved, first, again, mixed = (str(tmp_path / name) for name in ('m.npz', '1.mp4', '2.mp4', '3.mp4'))
  animation.animate(FakeModel(), portrait, {}, first, driver=driver, save_motion=saved, options=PLAIN)
  animation.animate(FakeModel(), portrait, {}, again, driver=saved, options=PLAIN)
  assert (tmp_path / '1.mp4').read_bytes() == (tmp_path / '2.mp4').read_bytes()
  animation.animate(FakeModel(), portrait, {'mouth': saved, 'pose': other}, mixed, options=PLAIN)
  np.testing.assert_allclose(_means(mixed)[:, :2], [[60, 50], [120, 150], [180, 200]], atol=6)


def test_smoothing_spreads_a_jump_and_keeps_what_is_steady(tmp_path, portrait):
  mouth = video(tmp_path / 'mouth.mp4', [60] * 10 + [180] * 10, 0)
  out = str(tmp_path / 'out.mp4')
  animation.animate(FakeModel(), portrait, {'mouth': mouth}, out, options=animation.Options(crop=False, smooth=2))
  means = _means(out)[:, 0]
  assert np.diff(means).max() < 40 and abs(means[0] - 60) < 6 and abs(means[-1] - 180) < 6


@pytest.mark.parametrize(
  'extend, expected',
  [
    ('hold', [50, 100, 200, 200, 200, 200, 200]),
    ('loop', [50, 100, 200, 50, 100, 200, 50]),
    ('pingpong', [50, 100, 200, 100, 50, 100, 200]),
    ('stop', [50, 100, 200]),
  ],
)
def test_a_source_video_keeps_its_frames_and_gets_the_mouth(tmp_path, extend, expected):
  source, mouth = video(tmp_path / 's.mp4', [50, 100, 200], 2), video(tmp_path / 'm.mp4', np.linspace(40, 220, 7), 0)
  out, model = str(tmp_path / 'out.mp4'), FakeModel()
  [done] = animation.animate(model, source, {'mouth': mouth}, out, options=animation.Options(crop=False, extend=extend))
  assert done.frames == len(expected) and ('repaint', 3) in model.calls
  means = _means(out)
  np.testing.assert_allclose(means[:, 2], expected, atol=8)
  np.testing.assert_allclose(means[:, 0], np.linspace(40, 220, 7)[: len(expected)], atol=8)


def test_several_sources_share_one_reading_of_the_drivers(tmp_path, portrait):
  PIL.Image.new('RGB', (SIZE, SIZE), (50, 50, 90)).save(tmp_path / 'second.png')
  driver, model = video(tmp_path / 'd.mp4', [150] * 4, 0), FakeModel()
  done = animation.animate(
    model, [portrait, str(tmp_path / 'second.png')], {}, str(tmp_path / 'out'), driver=driver, options=PLAIN
  )
  assert [one.path for one in done] == [str(tmp_path / 'out' / name) for name in ('portrait.mp4', 'second.mp4')]
  assert sum(call[0] == 'motion' for call in model.calls) == 1
  for one, blue in zip(done, (200, 90), strict=True):
    np.testing.assert_allclose(_means(one.path)[:, 2], blue, atol=6)
  with pytest.raises(UserError, match='portrait is the name of two files'):
    animation.animate(model, [portrait, portrait], {}, str(tmp_path / 'out'), driver=driver, options=PLAIN)


def test_pasting_keeps_the_picture_around_the_face(tmp_path):
  picture = np.full((96, 160, 3), (10, 120, 30), np.uint8)
  PIL.Image.fromarray(picture).save(tmp_path / 'wide.png')
  out = str(tmp_path / 'out.mp4')
  mouth = video(tmp_path / 'm.mp4', [220] * 3, 0)
  options = animation.Options(crop=False, paste=True)
  animation.animate(FakeModel(), str(tmp_path / 'wide.png'), {'mouth': mouth}, out, options=options)
  frame = next(media.read_frames(out)).astype(int)
  assert frame.shape == picture.shape
  np.testing.assert_allclose(frame[:, :24], picture[:, :24], atol=8)  # the square is 96 wide, in the middle
  np.testing.assert_allclose(frame[40:56, 72:88, 0], 220, atol=8)
