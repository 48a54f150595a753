"""A model that can be predicted, and videos and sounds for it."""

import types

import numpy as np

from data_pipeline import media
from edtalk_jax.config import Config, ModelConfig
from edtalk_jax.listening import Listener

SIZE = 32


class FakeModel:
  """Reads the mean red as mouth and the mean green as pose; paints both, and the portrait's blue.

  It hears how loud a sound is, as mel windows say.
  """

  def __init__(self, banks=('mouth', 'pose'), batch_size=4):
    self.image_size, self.batch_size, self.banks, self.calls = SIZE, batch_size, banks, []
    self.config = Config(model=ModelConfig(banks=tuple((b, 1) for b in banks)))
    self.spaces = {bank: f'space of {bank}' for bank in banks}
    self.averaged = False

  def encode(self, image):
    return types.SimpleNamespace(image=image, motion={b: image.mean((0, 1))[None, :1] for b in self.banks})

  def motion(self, images):
    self.calls.append(('motion', len(images)))
    means = images.mean((1, 2))
    return {bank: means[:, i : i + 1].astype(np.float32) for i, bank in enumerate(self.banks)}

  def generate(self, source, motion):
    count = len(next(iter(motion.values())))
    self.calls.append(('generate', count))
    return self._painted(np.repeat(source.image[None], count, axis=0).copy(), motion)

  def repaint(self, images, motion):
    self.calls.append(('repaint', len(images)))
    return self._painted(images.copy(), motion)

  def _painted(self, frames, motion):
    for channel, bank in enumerate(self.banks):
      if bank in motion:
        frames[..., channel] = motion[bank][:, 0, None, None].round()
    return frames

  def listener(self, rate):
    return Listener(lambda windows: 30 * (windows.max(axis=(1, 2))[:, None] + 4), rate, self.batch_size)


def tone(seconds, rate=16000, level=0.4):
  """A tone of 440 Hz, float32[samples]."""
  return (level * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def video(path, levels, channel, fps=25, seconds_of_sound=None):
  """Writes a video of as many frames as there are grey levels of one channel; returns its path."""
  frames = []
  for level in levels:
    frame = np.full((SIZE, 2 * SIZE, 3), 60, np.uint8)  # not square: the centre is what counts
    frame[:, SIZE // 2 : -SIZE // 2, channel] = level
    frames.append(frame)
  media.write_video(path, frames, fps, tone(seconds_of_sound) if seconds_of_sound else None, crf=1)
  return str(path)


def sound(path, samples, rate=16000):
  """Writes samples as a WAV file of 16 bits; returns its path."""
  import wave

  with wave.open(str(path), 'wb') as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(rate)
    file.writeframes((np.asarray(samples) * 32767).astype('<i2').tobytes())
  return str(path)
