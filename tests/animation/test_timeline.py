import numpy as np
import pytest

from edtalk_jax.animation import timeline


@pytest.mark.parametrize(
  'policy, expected',
  [
    ('hold', [0, 1, 2, 2, 2, 2, 2]),
    ('loop', [0, 1, 2, 0, 1, 2, 0]),
    ('pingpong', [0, 1, 2, 1, 0, 1, 2]),
  ],
)
def test_a_short_driver_goes_on_as_its_policy_says(policy, expected):
  np.testing.assert_array_equal(timeline.extended(3, 7, policy), expected)


@pytest.mark.parametrize('policy', ['hold', 'loop', 'pingpong'])
def test_long_drivers_are_cut_and_images_hold(policy):
  np.testing.assert_array_equal(timeline.extended(9, 4, policy), range(4))
  np.testing.assert_array_equal(timeline.extended(1, 4, policy), [0] * 4)


def test_unknown_policy_and_empty_driver_are_errors():
  with pytest.raises(ValueError, match='hold, pingpong, loop, stop'):
    timeline.extended(3, 7, 'stretch')
  with pytest.raises(ValueError, match='at least 1, got 0'):
    timeline.extended(0, 7, 'hold')


def test_the_mouth_sets_the_length_unless_it_is_a_still_image():
  assert timeline.common_length({'mouth': 30, 'pose': 50}) == 30
  assert timeline.common_length({'mouth': 1, 'pose': 50}) == 50
  assert timeline.common_length({'pose': 50, 'expression': 20}) == 50
  assert timeline.common_length({'mouth': 1, 'pose': 1}, sources=[30, 40]) == 40
  assert timeline.common_length({'mouth': 1, 'pose': 1}) == 1


def test_stop_takes_the_shortest_that_moves():
  assert timeline.common_length({'mouth': 30, 'pose': 50, 'expression': 1}, 'stop') == 30
  assert timeline.common_length({'mouth': 30, 'pose': 50}, 'stop', sources=[20]) == 20


@pytest.mark.parametrize('wanted, count', [(50, 19), (30, 11), (10, 4), (25, 10)])
def test_resampling_keeps_times(wanted, count):
  values = np.arange(10, dtype=np.float32)[:, None]  # frame k is at k / 25 seconds
  found = timeline.resampled({'mouth': values}, 25, wanted)['mouth']
  np.testing.assert_allclose(found[:, 0], np.arange(count) * 25 / wanted, rtol=1e-6)


def test_one_frame_is_resampled_to_one():
  assert timeline.resampled({'pose': np.ones((1, 3), np.float32)}, 25, 30)['pose'].shape == (1, 3)


def test_smoothing_leaves_steady_motion_and_keeps_the_sum():
  steady = {'mouth': np.full((9, 2), 3, np.float32)}
  np.testing.assert_allclose(timeline.smoothed(steady, 2.0)['mouth'], 3, rtol=1e-6)
  pulse = np.zeros((41, 1), np.float32)
  pulse[20] = 1
  found = timeline.smoothed({'mouth': pulse}, 2.0)['mouth'][:, 0]
  # A sampled Gaussian of sigma 2 at its middle, normalised: 1 / (2 sqrt(2 pi)).
  np.testing.assert_allclose([found.sum(), found[20]], [1, 0.1995], rtol=1e-3)
