"""Which face is framed and how, by a detector that can be predicted."""

import numpy as np
import PIL.Image
import pytest

from data_pipeline.errors import DataError
from edtalk_jax.animation import framing
from tests.animation.fakes import video


class OneFace:
  """A detector that sees one face, at the brightest place."""

  def boxes(self, frame, thorough=True):
    if frame.max() < 250:
      return np.zeros((0, 4), np.float32)
    rows, columns = np.nonzero(frame[..., 0] >= 250)
    return np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)

  def landmarks_in(self, frame, box):
    return np.random.default_rng(0).permutation(
      np.stack([np.linspace(box[0], box[2], 68), np.linspace(box[1], box[3], 68)], axis=1), axis=0
    )


def test_a_face_is_framed_and_a_framed_picture_is_kept(tmp_path):
  wide = np.zeros((100, 300, 3), np.uint8)
  wide[40:60, 200:220] = 255
  PIL.Image.fromarray(wide).save(tmp_path / 'wide.png')
  framed = framing.portrait(tmp_path / 'wide.png', 64, OneFace()).crop
  bright = np.nonzero(framed.mean(axis=(0, 2)) > 40)[0]
  assert 0.5 < len(bright) / 64 < 0.8 and abs(bright.mean() - 31.5) < 3  # the face fills the crop, in its middle
  square = np.zeros((100, 100, 3), np.uint8)
  square[18:88, 15:85] = 255
  PIL.Image.fromarray(square).save(tmp_path / 'square.png')
  np.testing.assert_array_equal(framing.portrait(tmp_path / 'square.png', 100, OneFace()).crop, square)


def test_pictures_without_a_face_are_named(tmp_path):
  PIL.Image.new('RGB', (64, 64)).save(tmp_path / 'dark.png')
  with pytest.raises(DataError, match=r'dark.png: no face found; --no-crop'):
    framing.portrait(tmp_path / 'dark.png', 64, OneFace())
  dark = video(tmp_path / 'dark.mp4', [10, 10], 0)
  with pytest.raises(DataError, match='no face found in 2 frames'):
    list(framing.driver_frames(dark, 64, OneFace()))


class ThreeFaces(OneFace):
  """Sees a small, a large and a middling face, named in no order."""

  def boxes(self, frame, thorough=True):
    return np.array([[100, 10, 160, 70], [10, 10, 30, 30], [200, 10, 240, 50]], np.float32)


def test_one_of_several_faces_is_chosen_or_refused(tmp_path):
  PIL.Image.fromarray(np.zeros((100, 300, 3), np.uint8)).save(tmp_path / 'group.png')

  def centre(face):
    left, _, side = framing.portrait(tmp_path / 'group.png', 64, ThreeFaces(), face).square
    return left + side / 2

  assert abs(centre('largest') - 130) < 3
  # The leftmost face lies so near to the edge that its square is moved inside.
  assert centre('1') < 30 and abs(centre('2') - 130) < 3 and abs(centre('3') - 220) < 3
  with pytest.raises(DataError, match='shows 3 faces; choose one by --face 1 to 3'):
    centre('only')
  with pytest.raises(DataError, match='--face 4, but 3 faces were found'):
    centre('4')
