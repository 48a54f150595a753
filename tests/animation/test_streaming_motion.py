"""Motion of a stream goes on where it was, also if its period is no multiple of the frames of a call."""

import numpy as np
import pytest

from edtalk_jax.animation.streaming import Stream
from tests.animation.fakes import SIZE, FakeModel, tone


@pytest.mark.parametrize(
  'extend, expected', [('pingpong', [10, 90, 200, 90]), ('loop', [10, 90, 200]), ('hold', [10, 90, *[200] * 30])]
)
def test_motion_goes_on_from_call_to_call(extend, expected):
  model = FakeModel(batch_size=5)
  portrait = model.encode(np.full((SIZE, SIZE, 3), 50, np.uint8))
  stream = Stream(model, portrait, 16_000, motion={'pose': np.float32([[10], [90], [200]])}, extend=extend)
  frames = np.concatenate([stream.feed(tone(0.8)), stream.feed(tone(0.4)), stream.finish()])
  assert len(frames) == 30
  np.testing.assert_array_equal(frames[:, 0, 0, 1], (expected * 10)[:30])
