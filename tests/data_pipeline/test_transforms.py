import numpy as np
import pytest

from data_pipeline import audio_features, transforms
from tests.data_pipeline import videos
from tests.shared import parity_dir


@pytest.fixture(scope='module')
def case():
  return np.load(parity_dir() / 'case_mouthswap.npz')


@pytest.fixture(scope='module')
def mel_case():
  return np.load(parity_dir() / 'case_mel.npz')


def pairs(case):
  for k in range(len(case['in/landmarks_a'])):
    yield k, *((case[f'in/image_{x}_u8'][k], case[f'in/landmarks_{x}'][k]) for x in 'ab')


def test_geometry_of_the_mouth_swap_matches_the_official_code(case):
  for k, (_, source), (_, target) in pairs(case):
    expected = {name: case[f'out/pair{k}/{name}'] for name in ('three_points_a', 'M', 'bias', 'M_shifted', 'box')}
    np.testing.assert_allclose(transforms.anchors(source), expected['three_points_a'], atol=1e-12)
    plain = transforms.similarity(transforms.anchors(source), transforms.anchors(target))
    shifted = transforms.align_mouth(source, target)
    # Two ways to the same least squares in float64.
    np.testing.assert_allclose(plain, expected['M'], atol=1e-10)
    np.testing.assert_allclose(shifted, expected['M_shifted'], atol=1e-10)
    np.testing.assert_allclose(shifted[:, 2] - plain[:, 2], expected['bias'], atol=1e-10)
    assert transforms.mouth_box(target) == tuple(expected['box'])


def test_pixels_of_the_mouth_swap_match_the_official_code(case):
  for k, source, target in pairs(case):
    mine = transforms.swap_mouth(*source, *target, canvas=224).astype(int)
    difference = np.abs(mine - case[f'out/pair{k}/result_u8'])
    # OpenCV's bilinear weights are fixed-point numbers of 5 bits.
    assert difference.max() <= 3
    assert (difference > 1).mean() < 1e-3


def test_full_canvas_differs_only_beyond_the_official_canvas(case):
  for _, source, target in pairs(case):
    full, quirk = transforms.swap_mouth(*source, *target), transforms.swap_mouth(*source, *target, canvas=224)
    np.testing.assert_array_equal(full[:224, :224], quirk[:224, :224])
    rows = slice(224, max(224, transforms.mouth_box(target[1])[3]))
    assert not rows.stop > 224 or (full[rows] != quirk[rows]).any()


def test_similarity_recovers_a_known_one():
  rng = np.random.default_rng(0)
  points, angle = rng.normal(size=(3, 2)), 0.3
  linear = 1.7 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
  found = transforms.similarity(points, points @ linear.T + (4, -2))
  np.testing.assert_allclose(found, np.c_[linear, (4, -2)], atol=1e-12)


@pytest.mark.parametrize('side', [64, 128])
def test_swapping_a_face_with_itself_changes_nothing(side):
  image, points = videos.pictures(1, side)[0], videos.face_landmarks(1, side)[0]
  np.testing.assert_array_equal(transforms.swap_mouth(image, points, image, points), image)


def test_swap_survives_landmarks_outside_the_frame():
  image, points = videos.pictures(1)[0], videos.face_landmarks(1)[0]
  for shift in (-200, 50, 200):
    for source, target in ((points, points + shift), (points + shift, points)):
      assert transforms.swap_mouth(image, source, image, target).shape == image.shape


def test_mel_matches_the_official_code(mel_case):
  waveform = mel_case['in/wav'].astype(np.float32) / 32768
  mel = audio_features.mel_spectrogram(waveform, padding='constant')
  np.testing.assert_allclose(mel.T, mel_case['out/mel'], atol=1e-5)  # the pack's bar
  np.testing.assert_array_equal(audio_features.mel_basis(), mel_case['out/mel_basis'])
  windows = audio_features.mel_windows(mel, mel_case['in/window_frames'])
  np.testing.assert_allclose(windows, mel_case['out/windows'], atol=1e-5)
  starts = [audio_features.window_start(k) for k in range(len(mel_case['out/window_start']))]
  np.testing.assert_array_equal(starts, mel_case['out/window_start'])


def test_padding_of_the_mel_changes_only_the_ends():
  waveform = videos.tone(1.0)
  reflected, silent = (audio_features.mel_spectrogram(waveform, padding) for padding in ('reflect', 'constant'))
  np.testing.assert_array_equal(reflected[2:-2], silent[2:-2])
  assert not np.array_equal(reflected, silent)


def test_windows_repeat_the_edges():
  mel = np.arange(20, dtype=np.float32)[:, None] * np.ones((1, 80), np.float32)
  windows = audio_features.mel_windows(mel, np.array([0, 5]))
  np.testing.assert_array_equal(windows[0, 0], [0] * 6 + list(range(10)))
  np.testing.assert_array_equal(windows[1, 0], [*range(9, 20), 19, 19, 19, 19, 19])
