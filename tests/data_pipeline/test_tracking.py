import itertools

import numpy as np
import pytest

from data_pipeline import cropping, tracking


class FakeDetector:
  """Finds the bright squares of a frame: each channel may hold one."""

  def __init__(self):
    self.searches = 0

  def boxes(self, frame, thorough=True):
    self.searches += 1
    found = []
    for channel in range(3):
      rows, columns = np.nonzero(frame[..., channel] > 128)
      if len(rows):
        found.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return np.array(found, np.float32).reshape(-1, 4)

  def landmarks_in(self, frame, box):
    return np.repeat(np.array([[(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]], np.float32), 68, axis=0)


def moving(count, speed=1, side=20, channel=0, gaps=()):
  frames = np.zeros((count, 100, 200, 3), np.uint8)
  for k in range(count):
    if k not in gaps:
      frames[k, 30 : 30 + side, 10 + speed * k : 10 + speed * k + side, channel] = 255
  return frames


def test_a_moving_face_is_one_track_and_searched_rarely():
  detector = FakeDetector()
  (track,), count = tracking.track_faces(moving(41), detector, every=5)
  assert (track.begin, track.end, count) == (0, 41, 41)
  assert detector.searches == 9
  centres = np.array([points[0, 0] for points in track.landmarks])
  np.testing.assert_allclose(centres, 20 + np.arange(41), atol=1e-4)  # interpolated boxes follow the motion


def test_a_short_gap_is_bridged_and_marked():
  (track,), _ = tracking.track_faces(moving(40, gaps=(11, 12)), FakeDetector(), every=1)
  assert (track.begin, track.end) == (0, 40)
  assert [k for k, points in enumerate(track.landmarks) if points is None] == [11, 12]


def test_a_long_gap_ends_the_track():
  tracks, _ = tracking.track_faces(moving(40, gaps=range(10, 20)), FakeDetector(), every=1)
  assert [(t.begin, t.end) for t in tracks] == [(0, 10), (20, 40)]


def test_a_shot_cut_ends_the_track():
  frames = moving(20, speed=0)
  frames[10:, :, :, 1] = 100  # the background changes, below what the detector takes for a face
  tracks, _ = tracking.track_faces(frames, FakeDetector())
  assert [(t.begin, t.end) for t in tracks] == [(0, 10), (10, 20)]


def test_the_larger_face_is_the_main_one():
  frames = moving(30, side=10, channel=1, speed=0)
  frames[:, 40:80, 100:140, 0] = 255
  tracks, _ = tracking.track_faces(frames, FakeDetector())
  (main,) = tracking.choose_tracks(tracks)
  assert len(tracks) == 2
  np.testing.assert_array_equal(main.boxes[0], [100, 40, 140, 80])


def landmarks_of_height(height, x=500.0, y=300.0, width=None):
  points = np.zeros((3, 68, 2), np.float32)
  points[..., 0] = np.linspace(x - (width or height / 2) / 2, x + (width or height / 2) / 2, 68)
  points[..., 1] = np.linspace(y - height / 2, y + height / 2, 68)
  return points


def test_crop_holds_the_face_at_the_documented_share():
  left, top, side = cropping.crop_box(landmarks_of_height(200), 1920, 1080)
  assert side == pytest.approx(200 * 1.12 / 0.70, abs=1)
  assert left + side / 2 == pytest.approx(500, abs=1)
  face_centre = 300 - 0.12 * 200 / 2
  assert top + 0.54 * side == pytest.approx(face_centre, abs=1)


@pytest.mark.parametrize('x', [5.0, 500.0, 1900.0])
def test_crop_stays_inside_the_frame(x):
  left, top, side = cropping.crop_box(landmarks_of_height(900, x), 1920, 1080)
  assert 0 <= left <= 1920 - side
  assert 0 <= top <= 1080 - side


def test_a_square_that_the_face_fills_is_kept():
  assert cropping.is_cropped(landmarks_of_height(140, 128, 128), 256, 256)
  assert not cropping.is_cropped(landmarks_of_height(90, 128, 128), 256, 256)
  assert not cropping.is_cropped(landmarks_of_height(140, 128, 128), 384, 256)


def test_landmarks_move_with_the_crop():
  frame = np.zeros((100, 200, 3), np.uint8)
  frame[40:44, 60:64] = 255  # centre (61.5, 41.5)
  box = (40, 20, 50)
  image = cropping.crop(frame, box, 100).astype(float)[..., 0]
  x, y = cropping.to_crop(np.array([61.5, 41.5]), box, 100)
  rows, columns = np.mgrid[:100, :100]
  assert x == pytest.approx((columns * image).sum() / image.sum(), abs=0.05)
  assert y == pytest.approx((rows * image).sum() / image.sum(), abs=0.05)


@pytest.mark.parametrize(('length', 'longest'), [(1, 125), (125, 125), (126, 125), (1000, 125), (777, 50)])
def test_even_splits_cover_everything_once(length, longest):
  parts = cropping.split_evenly(3, 3 + length, longest)
  assert parts[0][0] == 3 and parts[-1][1] == 3 + length
  assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
  sizes = [end - begin for begin, end in parts]
  assert max(sizes) <= longest and max(sizes) - min(sizes) <= 1
