"""Pasting: nothing outside the square changes, no seam inside, and none at the picture's own edge."""

import numpy as np

from edtalk_jax.animation import pasting


def test_the_mask_is_whole_in_the_middle_and_nothing_at_inner_edges():
  mask = pasting.soft_mask(100, (True, True, True, True))[..., 0]
  assert mask.shape == (100, 100) and mask[50, 50] == 1 and mask[:, 12:88][12:88].min() == 1
  assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) < 0.01
  np.testing.assert_array_equal(mask, mask[::-1, ::-1])
  assert np.abs(np.diff(mask, axis=0)).max() < 0.14  # a smooth step of 12 pixels is at most 1.5 / 12 steep


def test_where_the_square_ends_with_the_picture_there_is_no_soft_edge():
  mask = pasting.soft_mask(50, (False, True, True, False))[..., 0]
  assert mask[-1, 0] == 1 and mask[0].max() < 0.05 and mask[:, -1].max() < 0.05


def test_the_same_face_changes_nothing_and_another_stays_inside():
  rng = np.random.default_rng(0)
  picture = rng.integers(256, size=(80, 120, 3), dtype=np.uint8)
  square = (30, 10, 64)
  same = pasting.paste(picture, square, picture[10:74, 30:94])
  np.testing.assert_array_equal(same, picture)
  pasted = pasting.paste(picture, square, np.zeros((32, 32, 3), np.uint8))
  outside = np.ones((80, 120), bool)
  outside[10:74, 30:94] = False
  np.testing.assert_array_equal(pasted[outside], picture[outside])
  assert pasted[30:50, 50:70].max() == 0 and picture[30:50, 50:70].max() > 0
