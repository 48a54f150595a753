"""The gallery: which clip is the worst, and how rows are drawn."""

import pathlib

import numpy as np

from launch import gallery
from tests.animation.fakes import SIZE, FakeModel


def _clip(name, levels):
  frames = np.zeros((len(levels), SIZE, SIZE, 3), np.uint8)
  frames[..., 2] = np.array(levels)[:, None, None]  # blue, which the model keeps as in its portrait
  return gallery.Clip(pathlib.Path(f'{name}#neutral#00.mp4'), frames)


def test_the_worst_clip_is_shown_with_its_truth():
  clips = [_clip('a', [10, 12]), _clip('b', [10, 90]), _clip('c', [10, 40])]
  rows = dict(gallery.worst(FakeModel(), clips))
  np.testing.assert_array_equal(rows['truth'], clips[1].frames)
  assert rows['painted'][..., 2].max() == 10 and clips[0].person == 'a'


def test_rows_are_labelled_and_evenly_spaced():
  levels = list(range(0, 250, 10))
  sheet = np.asarray(gallery.draw([('one', _clip('a', [7]).frames), ('many', _clip('b', levels).frames)]))
  assert sheet.shape == (2 * gallery.SIDE, gallery.LABEL + gallery.COLUMNS * gallery.SIDE, 3)
  row = sheet[gallery.SIDE + 5, gallery.LABEL + gallery.SIDE // 2 :: gallery.SIDE, 2]
  assert row.tolist() == [0, 30, 70, 100, 140, 170, 210, 240]
  assert sheet[5, gallery.LABEL + 5, 2] == 7 and (sheet[5, gallery.LABEL + gallery.SIDE + 5] == 255).all()
  assert sheet[: gallery.SIDE, : gallery.LABEL].min() < 100  # the label's letters
