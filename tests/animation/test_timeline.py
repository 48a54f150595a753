import numpy as np
import pytest

from edtalk_jax.animation import timeline


@pytest.mark.parametrize('policy, expected', [
  ('hold', [0, 1, 2, 2, 2, 2, 2]),
  ('loop', [0, 1, 2, 0, 1, 2, 0]),
  ('pingpong', [0, 1, 2, 1, 0, 1, 2]),
])
def test_a_short_driver_goes_on_as_its_policy_says(policy, expected):
  np.testing.assert_array_equal(timeline.extended(3, 7, policy), expected)


@pytest.mark.parametrize('policy', ['hold', 'loop', 'pingpong'])
def test_long_drivers_are_cut_and_images_hold(policy):
  np.testing.assert_array_equal(timeline.extended(9, 4, policy), range(4))
  np.testing.assert_array_equal(timeline.extended(1, 4, policy), [0] * 4)


def test_unknown_policy_and_empty_driver_are_errors():
  with pytest.raises(ValueError, match='hold, pingpong, loop'):
    timeline.extended(3, 7, 'stretch')
  with pytest.raises(ValueError, match='at least 1, got 0'):
    timeline.extended(0, 7, 'hold')


def test_the_mouth_sets_the_length_unless_it_is_a_still_image():
  assert timeline.common_length({'mouth': 30, 'pose': 50}) == 30
  assert timeline.common_length({'mouth': 1, 'pose': 50}) == 50
  assert timeline.common_length({'pose': 50, 'expression': 20}) == 50
