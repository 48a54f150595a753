"""Animation of made-up pictures by a model that can be predicted: lengths, sound, streaming, mistakes."""

import types

import numpy as np
import PIL.Image
import pytest

from data_pipeline import media
from data_pipeline.errors import DataError
from edtalk_jax import animation
from edtalk_jax.animation import driving, framing
from edtalk_jax.config import Config, ModelConfig, UserError

SIZE = 32


class FakeModel:
  """Reads the mean red as mouth and the mean green as pose; paints both, and the portrait's blue."""

  def __init__(self, banks=('mouth', 'pose'), batch_size=4):
    self.image_size, self.batch_size, self.banks, self.calls = SIZE, batch_size, banks, []
    self.config = Config(model=ModelConfig(banks=tuple((b, 1) for b in banks)))

  def encode(self, image):
    return types.SimpleNamespace(image=image, motion={b: image.mean((0, 1))[None, :1] for b in self.banks})

  def motion(self, images):
    self.calls.append(('motion', len(images)))
    means = images.mean((1, 2))
    return {bank: means[:, i:i + 1].astype(np.float32) for i, bank in enumerate(self.banks)}

  def generate(self, source, motion):
    count = len(next(iter(motion.values())))
    self.calls.append(('generate', count))
    frames = np.repeat(source.image[None], count, axis=0).copy()
    for channel, bank in enumerate(self.banks):
      if bank in motion:
        frames[..., channel] = motion[bank][:, 0, None, None].round()
    return frames


def _video(path, levels, channel, fps=25, seconds_of_sound=None):
  frames = []
  for level in levels:
    frame = np.full((SIZE, 2 * SIZE, 3), 60, np.uint8)  # not square: the centre is what counts
    frame[:, SIZE // 2:-SIZE // 2, channel] = level
    frames.append(frame)
  audio = None
  if seconds_of_sound:
    audio = (0.4 * np.sin(2 * np.pi * 440 * np.arange(int(16000 * seconds_of_sound)) / 16000)).astype(np.float32)
  media.write_video(path, frames, fps, audio, crf=1)
  return str(path)


@pytest.fixture
def portrait(tmp_path):
  path = tmp_path / 'portrait.png'
  PIL.Image.new('RGB', (SIZE, SIZE), (50, 50, 200)).save(path)
  return str(path)


def _means(path):
  return np.stack([frame.mean((0, 1)) for frame in media.read_frames(path)])


def test_mouth_sets_the_length_and_the_sound_and_pose_is_extended(tmp_path, portrait):
  mouth_levels = np.linspace(40, 220, 20)
  mouth = _video(tmp_path / 'mouth.mp4', mouth_levels, 0, seconds_of_sound=3)
  pose = _video(tmp_path / 'pose.mp4', [80, 120, 160], 1)
  out = str(tmp_path / 'folder' / 'out.mp4')
  done = animation.animate(FakeModel(), portrait, {'mouth': mouth, 'pose': pose}, out, extend='pingpong', crop=False)
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
  mouth = _video(tmp_path / 'mouth.mp4', [100] * 50, 0, fps=50)
  done = animation.animate(FakeModel(), portrait, {'mouth': mouth}, str(tmp_path / 'out.mp4'), crop=False)
  assert (done.frames, done.sound) == (25, False)


def test_a_common_driver_fills_the_banks_that_are_not_named(tmp_path, portrait):
  video = _video(tmp_path / 'driver.mp4', [150] * 4, 0, seconds_of_sound=1)
  still = tmp_path / 'pose.png'
  PIL.Image.new('RGB', (SIZE, SIZE), (0, 90, 0)).save(still)
  out = str(tmp_path / 'out.mp4')
  done = animation.animate(FakeModel(), portrait, {'pose': str(still)}, out, driver=video, crop=False)
  assert (done.frames, done.sound) == (4, True)
  np.testing.assert_allclose(_means(out)[:, :2], [[150, 90]] * 4, atol=6)


def test_a_video_that_drives_two_banks_is_read_once_and_in_batches(tmp_path, portrait):
  video = _video(tmp_path / 'driver.mp4', [150] * 10, 0)
  model = FakeModel(batch_size=4)
  animation.animate(model, portrait, {'mouth': video, 'pose': video}, str(tmp_path / 'out.mp4'), crop=False)
  assert model.calls == [('motion', 4), ('motion', 4), ('motion', 2), ('generate', 4), ('generate', 4), ('generate', 2)]


def test_given_weights_take_the_place_of_a_driver_and_last_as_long_as_it_does(tmp_path, portrait):
  video = _video(tmp_path / 'driver.mp4', [150] * 4, 0)
  out = str(tmp_path / 'out.mp4')
  weights = {'pose': np.array([[90.0]], np.float32)}
  done = animation.animate(FakeModel(), portrait, {}, out, driver=video, weights=weights, crop=False)
  assert done.frames == 4
  np.testing.assert_allclose(_means(out)[:, :2], [[150, 90]] * 4, atol=6)
  with pytest.raises(UserError, match='--eye: the model has no such motion space'):
    animation.animate(FakeModel(), portrait, {}, out, weights={'eye': weights['pose']}, crop=False)


def test_frames_are_painted_as_they_are_asked_for():
  model = FakeModel(batch_size=4)
  frames = driving.paint(model, model.encode(np.zeros((SIZE, SIZE, 3), np.uint8)), {'mouth': np.zeros((1000, 1))})
  next(frames)
  assert model.calls == [('generate', 4)]


def test_mistakes_are_named(tmp_path, portrait):
  video = _video(tmp_path / 'driver.mp4', [150] * 4, 0)
  out = str(tmp_path / 'out.mp4')
  with pytest.raises(UserError, match='--expression: the model has no such motion space, only mouth, pose'):
    animation.animate(FakeModel(), portrait, {'expression': video}, out, crop=False)
  with pytest.raises(UserError, match=r'--mouth, --pose: this model .* give --driver VIDEO'):
    animation.animate(FakeModel(banks=('motion',)), portrait, {'mouth': video, 'pose': video}, out, crop=False)
  with pytest.raises(UserError, match='nothing drives the portrait'):
    animation.animate(FakeModel(), portrait, {}, out, crop=False)
  with pytest.raises(UserError, match=r'absent\.mp4: no such file'):
    animation.animate(FakeModel(), portrait, {'mouth': str(tmp_path / 'absent.mp4')}, out, crop=False)
  assert not (tmp_path / 'out.mp4').exists()


class OneFace:
  """A detector that sees one face, at the brightest place."""

  def boxes(self, frame, thorough=True):
    if frame.max() < 250:
      return np.zeros((0, 4), np.float32)
    rows, columns = np.nonzero(frame[..., 0] >= 250)
    return np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)

  def landmarks_in(self, frame, box):
    return np.random.default_rng(0).permutation(np.stack([np.linspace(box[0], box[2], 68),
                                                          np.linspace(box[1], box[3], 68)], axis=1), axis=0)


def test_a_face_is_framed_and_a_framed_picture_is_kept(tmp_path):
  wide = np.zeros((100, 300, 3), np.uint8)
  wide[40:60, 200:220] = 255
  PIL.Image.fromarray(wide).save(tmp_path / 'wide.png')
  framed = framing.portrait(tmp_path / 'wide.png', 64, OneFace())
  bright = np.nonzero(framed.mean(axis=(0, 2)) > 40)[0]
  assert 0.5 < len(bright) / 64 < 0.8 and abs(bright.mean() - 31.5) < 3  # the face fills the crop, in its middle
  square = np.zeros((100, 100, 3), np.uint8)
  square[18:88, 15:85] = 255
  PIL.Image.fromarray(square).save(tmp_path / 'square.png')
  np.testing.assert_array_equal(framing.portrait(tmp_path / 'square.png', 100, OneFace()), square)


def test_pictures_without_a_face_are_named(tmp_path):
  PIL.Image.new('RGB', (64, 64)).save(tmp_path / 'dark.png')
  with pytest.raises(DataError, match=r'dark.png: no face found; --no-crop'):
    framing.portrait(tmp_path / 'dark.png', 64, OneFace())
  video = _video(tmp_path / 'dark.mp4', [10, 10], 0)
  with pytest.raises(DataError, match='no face found in 2 frames'):
    list(framing.driver_frames(video, 64, OneFace()))
