"""A stream of sound gives the frames of the whole sound, no later than promised."""

import numpy as np
import pytest

from edtalk_jax.animation.streaming import Stream
from tests.animation.fakes import SIZE, FakeModel, tone


def _stream(model, **options):
  return Stream(model, model.encode(np.full((SIZE, SIZE, 3), 50, np.uint8)), 16_000, **options)


@pytest.mark.parametrize('size', [3_000, 10**6])
def test_frames_are_those_of_the_whole_sound_with_other_motion_going_on(size):
  model = FakeModel(batch_size=4)
  wave = np.concatenate([tone(0.5), np.zeros(8_000, np.float32), tone(0.72)])
  pose = np.float32([[10], [90], [200]])
  stream = _stream(model, motion={'pose': pose})
  parts = [stream.feed(wave[first : first + size]) for first in range(0, len(wave), size)]
  frames = np.concatenate([*parts, stream.finish()])
  assert len(frames) == 43  # 1.72 s
  assert all(len(part) % 4 == 0 for part in parts)
  listener = model.listener(16_000)
  mouth = np.concatenate([listener.feed(wave), listener.finish()])
  np.testing.assert_array_equal(frames[:, 0, 0, 0], mouth[:, 0].round())
  np.testing.assert_array_equal(frames[:, 0, 0, 1], ([10, 90, 200, 90] * 11)[:43])


@pytest.mark.parametrize('batch', [1, 4])
def test_no_frame_is_later_than_the_latency(batch):
  stream, frames = _stream(FakeModel(batch_size=batch)), 0
  for heard in range(1, 300):
    frames += len(stream.feed(np.zeros(160, np.float32)))
    assert frames / 25 >= heard * 0.01 - stream.latency - 0.01
  assert stream.latency == pytest.approx({1: 0.2, 4: 0.44}[batch])


def test_mouths_have_one_driver():
  with pytest.raises(ValueError, match='other banks than mouth'):
    _stream(FakeModel(), motion={'mouth': np.zeros((3, 1))})
