"""Each filter on arrays made for it: one that must pass, one that must not."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage

from data_pipeline.quality import duplicates, faces, pictures, synchrony, verdict
from data_pipeline.quality.limits import ACCEPT_ALL, Limits
from data_pipeline.quality.synchrony import Offset
from data_pipeline.synthetic import clip
from tests.data_pipeline import videos


def chips(count=12, seed=0, coarseness=2.0):
  """A textured picture that moves by a pixel a frame, uint8[count, 128, 128]."""
  noise = np.random.default_rng(seed).normal(size=(128, 128 + count))
  smooth = scipy.ndimage.gaussian_filter(noise, coarseness, mode='wrap')
  picture = np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8)
  return np.stack([picture[:, k : k + 128] for k in range(count)])


def test_a_blurred_picture_is_less_sharp():
  sharp = chips()
  blurred = np.stack([scipy.ndimage.gaussian_filter(picture, 4) for picture in sharp])
  assert pictures.sharpness(blurred) < Limits().min_sharpness < pictures.sharpness(sharp)


def test_sharpness_is_the_variance_of_the_laplacian():
  picture = chips(1)
  laplacian = scipy.ndimage.laplace(picture[0].astype(np.float64))[26:116, 26:102]
  assert pictures.sharpness(picture) == pytest.approx(laplacian[1:-1, 1:-1].var(), rel=1e-5)  # float32


def test_a_cut_is_found_where_it_is():
  for before in (3, 10, 17):
    joined = np.concatenate([chips(before, seed=1), chips(20 - before, seed=2)])
    strength, place = pictures.cut(joined)
    assert place == before and strength > Limits().max_cut


@pytest.mark.parametrize(
  'frames',
  [
    chips(20),
    chips(1),
    chips(2),
    np.clip(chips(20).astype(int) + np.linspace(0, 60, 20, dtype=int)[:, None, None], 0, 255).astype(np.uint8),
    np.concatenate([chips(20)[:1]] * 10 + [chips(20)]),  # begins to move
  ],
  ids=['moving', 'one frame', 'two frames', 'growing brighter', 'a still that starts'],
)
def test_motion_and_light_are_no_cut(frames):
  assert pictures.cut(frames)[0] < Limits().max_cut


def test_the_hash_survives_scaling_and_compression_and_tells_scenes_apart():
  rng = np.random.default_rng(0)
  one, other = chips(6, 1, 12), chips(6, 2, 12)
  coarse = np.repeat(np.repeat(one[:, ::2, ::2], 2, 1), 2, 2)
  copy = np.clip(0.9 * coarse + 8 + rng.normal(0, 4, coarse.shape), 0, 255).astype(np.uint8)
  bits = pictures.picture_hash(one)
  assert (bits ^ pictures.picture_hash(copy)).bit_count() <= 6
  assert (bits ^ pictures.picture_hash(other)).bit_count() > 16


def test_faces_are_measured_in_their_pixels():
  points = videos.face_landmarks(9, 100)
  assert faces.height(points) == pytest.approx(0.48 * 100, rel=0.01)  # brows at 0.32, chin at 0.80
  assert faces.height(2 * points) == pytest.approx(2 * faces.height(points), rel=1e-5)


def test_a_face_whose_points_jump_has_jitter_and_one_that_moves_has_not():
  points = videos.face_landmarks(30).astype(np.float64)
  t = np.arange(30)[:, None, None]
  valid = np.ones(30)
  shaken = (points - 40) * (1 + 0.2 * (t % 2)) + np.where(t % 3 == 0, 9.0, 0.0)  # all points alike
  assert faces.jitter(shaken, valid) < 1e-3  # % of the eyes' distance; landmarks are float32
  jumping = points.copy()
  jumping[::3, 36:48] += [[4.0, 0.0]]  # both eyes, 4 pixels of the 24 between them
  found = faces.jitter(jumping, valid)
  assert found > Limits().max_jitter
  assert faces.jitter(jumping, np.arange(30) % 3 != 0) == 0  # made-up landmarks do not count
  assert faces.jitter(3 * jumping, valid) == pytest.approx(found)


def test_the_pose_of_a_turned_head_is_seen():
  from data_pipeline import head_pose

  yaw = np.radians(70)
  turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
  points = np.zeros((6, 68, 2))
  points[:, list(head_pose.RIGID)] = (head_pose.FACE @ turn.T)[:, :2]
  found = faces.pose(points, np.ones(6))
  np.testing.assert_allclose(np.abs(found), [70, 0, 0], atol=1e-6)
  assert faces.pose(points, np.zeros(6)) == (0, 0, 0)


GOOD = {
  'face': 100.0,
  'sharpness': 50.0,
  'jitter': 1.0,
  'yaw': 5.0,
  'pitch': -5.0,
  'roll': 0.0,
  'cut': 2.0,
  'cut_frame': 3,
  'loudness': -20.0,
  'av_offset': 0.3,
  'av_confidence': 0.5,
  'av_shift': 0,
}


@pytest.mark.parametrize(
  ('values', 'reason'),
  [
    ({}, ''),
    ({'loudness': None, 'av_offset': None, 'av_confidence': None, 'av_shift': None}, ''),
    ({'face': 20.0}, 'face too small: 20.0 pixels from brows to chin, at least 24 are needed'),
    ({'sharpness': 2.0}, 'blurred: sharpness 2.0'),
    ({'jitter': 70.0}, 'landmarks jump'),
    ({'yaw': -71.0}, 'head turned too far: yaw -71.0 degrees, at most 60 are allowed'),
    ({'pitch': 50.0}, 'pitch 50.0'),
    ({'roll': 50.0}, 'roll 50.0'),
    ({'cut': 40.0}, 'cut: at frame 3 pictures change by 40.0 grey levels'),
    ({'av_offset': 13.2}, 'sound out of step: 13.2 frames late (confidence 0.5), at most 10 can be corrected'),
    ({'av_offset': 13.2, 'av_confidence': 0.2}, ''),
    ({'av_offset': 6.2, 'av_shift': 6}, ''),
  ],
)
def test_a_fault_is_told_with_its_figure_and_limit(values, reason):
  found = verdict.fault(GOOD | values, Limits())
  assert found.startswith(reason) if not reason.startswith(('pitch', 'roll')) else reason in found
  assert bool(found) == bool(reason)
  assert not verdict.fault(GOOD | values, ACCEPT_ALL)


def test_wrong_limits_are_named():
  with pytest.raises(ValueError, match='max_yaw must be at least 0, got -1'):
    Limits(max_yaw=-1)
  with pytest.raises(ValueError, match='max_shift must be between 0 and 15 frames, got 20'):
    Limits(max_shift=20)


def test_loudness_of_a_sine():
  sine = np.round(32768 * 0.1 * np.sin(np.arange(16000) / 7)).astype(np.int16)
  assert verdict.loudness(sine) == pytest.approx(-23.01, abs=0.05)  # 20 log10(0.1 / sqrt 2)
  assert verdict.loudness(np.zeros(9, np.int16)) == -120


def speech(frames, seed):
  """Landmarks of a mouth and the sound that it makes, of a rendered clip that need not be drawn."""
  shot = clip.take(clip.Plan(clips=1, size=64, seed=seed, frames=frames), 0)
  points = videos.face_landmarks(frames, 64)
  points[:, 48:, 1] = 44.0
  points[:, 65:68, 1] += 8 * shot.track[:, [clip.factors.COLUMN['opening']]]
  return points, shot.speech.waveform


@pytest.fixture(scope='module')
def spoken():
  return [speech(75, seed) for seed in range(3)]


@pytest.mark.parametrize('late', [-7, -2, 0, 5, 10])
def test_planted_offsets_are_found(spoken, late):
  for points, waveform in spoken:
    found = synchrony.measure(points, shifted(waveform, 640 * late))
    assert abs(found.frames - late) <= 1
    assert synchrony.shift(found, Limits()) == (found.whole if abs(found.whole) >= 2 else 0)


def shifted(waveform, samples):
  """The same sound, later by so many samples, with silence where nothing is known."""
  moved = np.zeros_like(waveform)
  if samples >= 0:
    moved[samples:] = waveform[: len(waveform) - samples]
  else:
    moved[:samples] = waveform[-samples:]
  return moved


def test_an_offset_is_measured_between_frames(spoken):
  points, waveform = spoken[0]
  whole = synchrony.measure(points, waveform).frames
  half = synchrony.measure(points, shifted(waveform, 320)).frames
  assert half - whole == pytest.approx(0.5, abs=0.25)


def test_another_ones_sound_a_still_mouth_and_silence_are_not_trusted(spoken):
  (points, waveform), (_, other), _ = spoken
  limits = Limits()
  assert synchrony.shift(synchrony.measure(points, other), limits) == 0
  still = np.repeat(points[:1], len(points), axis=0)
  assert synchrony.measure(still, waveform) == Offset()
  assert synchrony.measure(points, np.zeros_like(waveform)) == Offset()
  assert synchrony.measure(points[:40], waveform[: 40 * 640]) == Offset()  # too short to tell
  assert synchrony.measure(points, waveform[:0]) == Offset()


def test_sound_beyond_the_clip_counts(spoken):
  points, waveform = spoken[1]
  opening, level = synchrony.mouth_opening(points)[15:60], synchrony.voice_level(waveform)
  wide = synchrony.correlations(opening, level, -15)
  assert synchrony.LAGS[np.argmax(wide)] in (-1, 0, 1)
  # With sound all around, every lag compares all frames; these are plain correlations.
  lag = 9
  seen, heard = (synchrony.without_slow(values) for values in (opening, level))
  expected = np.corrcoef(seen, heard[15 + lag : 60 + lag])[0, 1]
  assert wide[synchrony.SEARCH + lag] == pytest.approx(expected)


def test_clips_of_one_video_help_each_other():
  peak = np.exp(-np.square(synchrony.LAGS - 4) / 2.0)
  clear, unclear = 0.8 * peak, 0.05 * np.cos(synchrony.LAGS)
  found = synchrony.resolve([clear, clear, unclear], [100, 100, 100], trust=0.25)
  assert [offset.whole for offset in found] == [4, 4, 4]
  alone = synchrony.resolve([unclear], [100], trust=0.25)
  assert alone[0].confidence < 0.25
  assert synchrony.resolve([], [], 0.25) == []


def test_what_is_not_trusted_or_beyond_the_limit_is_not_moved():
  limits = Limits()
  assert synchrony.shift(Offset(5.4, 0.35), limits) == 5
  assert synchrony.shift(Offset(5.4, 0.2), limits) == 0
  assert synchrony.shift(Offset(-12, 0.9), limits) == 0
  assert synchrony.shift(Offset(1.2, 0.9), limits) == 0  # within the error of the measurement
  assert synchrony.shift(Offset(5, 0.9), dataclasses.replace(limits, max_shift=0)) == 0
  assert synchrony.shift(Offset(), ACCEPT_ALL) == 0


def moving(frames, seed):
  """Landmarks of a head and mouth that move by chance."""
  rng = np.random.default_rng(seed)
  points = np.repeat(videos.face_landmarks(1, 100), frames, axis=0)
  walk = scipy.ndimage.gaussian_filter1d(rng.normal(size=(frames, 3)), 2, axis=0) * 8
  points[:, 65:68, 1] += np.abs(walk[:, :1])
  return points + walk[:, None, 1:]


SILENT = np.zeros((0, 80), np.float32)


def found_copies(tracks, **hashes):
  candidates = [duplicates.Candidate(name, name.split('#')[0], hashes.get(name.split('#')[0], 0)) for name in tracks]
  return duplicates.find(candidates, lambda name: duplicates.Trace(duplicates.motion(tracks[name]), SILENT))


def babble(frames, seed):
  """The spectrogram of sound whose bands rise and fall by chance."""
  noise = np.random.default_rng(seed).normal(size=(1 + 16 * frames // 5, 80))
  return scipy.ndimage.gaussian_filter1d(noise, 4, axis=0).astype(np.float32)


def test_a_copy_is_found_whatever_its_size_noise_and_beginning():
  original = moving(120, 1)
  rng = np.random.default_rng(9)
  copy = 2.4 * original[20:110] + 30 + rng.normal(0, 1.0, (90, 68, 2))  # half a pixel of noise at the original's size
  twins = found_copies({'a#1': original, 'b#1': copy})
  assert list(twins) == ['b#1'] and twins['b#1'].match.frames == 90
  assert twins['b#1'].reason.startswith('duplicate: of a#1, 90 frames with the same motion (correlation 0.9')


def test_other_takes_of_the_same_scene_are_no_copies():
  tracks = {f'{name}#1': moving(120, seed) for seed, name in enumerate('abcdef')}
  assert not found_copies(tracks)


def test_heads_that_nod_alike_are_copies_only_if_they_sound_alike():
  nod = 6 * moving(120, 3)[:, 30:31]
  one, other = (duplicates.motion(moving(120, seed) + nod) for seed in (1, 2))
  compare = lambda mel, other_mel: duplicates.compare(duplicates.Trace(one, mel), duplicates.Trace(other, other_mel))
  match = compare(SILENT, SILENT)
  assert match.motion > duplicates.SAME_MOTION and match.least < duplicates.EVERY_TRACK and not match.same
  sound = babble(130, 1)
  assert not compare(sound[:385], babble(120, 2)).same
  late = sound[16 : 16 + 385] + babble(120, 3) / 4  # five frames, and another recorder
  assert compare(sound[:385], late).same


def test_a_copy_with_another_sound_is_a_copy():
  track = duplicates.motion(moving(100, 1))
  match = duplicates.compare(duplicates.Trace(track, babble(100, 1)), duplicates.Trace(track, babble(100, 2)))
  assert match.sound < duplicates.SAME_SOUND and match.same


def test_copies_are_looked_for_among_pictures_that_look_alike_in_other_videos():
  track = moving(100, 1)
  assert not found_copies({'a#1': track, 'b#1': track}, a=0, b=2**20 - 1)
  assert not found_copies({'a#1': track, 'a#2': track})
  assert list(found_copies({'a#1': track, 'b#1': track, 'c#1': track}, b=1)) == ['b#1', 'c#1']
