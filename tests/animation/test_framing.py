"""Framing of real portraits and drivers by the real detector."""

import numpy as np
import pytest

from edtalk_jax.animation import framing
from tests.shared import corpus_dir

pytest.importorskip('dlib', reason='needs the extra [faces]')
CORPUS = corpus_dir()
SIZE = 128


@pytest.fixture(scope='module')
def detector():
  return framing.find_faces()


def _check_framing(image, detector):
  """The face is where training clips have it: large, centred, whole."""
  landmarks = detector.detect(image)
  assert landmarks is not None
  low, high = landmarks.min(axis=0), landmarks.max(axis=0)
  # Brow to chin; of training clips it is 0.4 to 0.65 of the height, and centred but for the forehead above it.
  assert 0.35 < (high - low)[1] / SIZE < 0.72
  assert np.abs((low + high) / 2 / SIZE - (0.5, 0.57)).max() < 0.12


@pytest.mark.parametrize('name', ['img_02.jpg', 'img_03.png', 'img_04.png'])
def test_portraits_of_any_size_are_framed_as_training_clips(name, detector):
  image = framing.portrait(CORPUS / 'images' / name, SIZE, detector).crop
  assert image.shape == (SIZE, SIZE, 3)
  _check_framing(image, detector)


@pytest.mark.integration
def test_a_full_hd_driver_is_cropped_once_and_still(detector):
  frames = list(framing.driver_frames(CORPUS / 'raw' / 'raw_01.mp4', SIZE, detector))
  assert len(frames) == 118  # 4.72 s at 25 frames/s
  for frame in frames[::39]:
    _check_framing(frame, detector)
  # One square for all frames: the background's corner does not move.
  corners = np.stack([frame[:12, :12] for frame in frames]).astype(float)
  assert np.abs(corners - corners[0]).mean() < 3


def test_a_clip_that_was_cropped_before_is_kept_whole(detector):
  path = CORPUS / 'clips' / 'p009_01.mp4'
  cropped, whole = (next(framing.driver_frames(path, SIZE, d)) for d in (detector, None))
  np.testing.assert_array_equal(cropped, whole)
