"""Metrics of the field on fixed arrays: closed forms, independent implementations, invariances."""

import json
import pathlib
import sys

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import skimage.data

from edtalk_jax.config import UserError
from edtalk_jax.evaluation import (
  face_identity,
  frechet,
  frozen,
  image_metrics,
  landmark_metrics,
  protocols,
  sharpness,
  synchrony,
)
from edtalk_jax.evaluation.judges import onnx_file, shelf
from tests.evaluation.networks import save_network

RNG = np.random.default_rng


def normal(count, seed, mean=0.0, scale=1.0, features=6):
  return mean + scale * RNG(seed).normal(size=(count, features))


def with_moments(mean, covariance, count=50, seed=0):
  """Samples whose mean and sample covariance are exactly these."""
  x = normal(count, seed, features=len(mean))
  x -= x.mean(axis=0)
  x @= np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
  return x @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_is_the_closed_form_of_independent_features():
  a = with_moments(np.zeros(3), np.diag([1.0, 4.0, 9.0]))
  b = with_moments(np.array([1.0, 0.0, -2.0]), np.diag([4.0, 4.0, 1.0]), seed=1)
  # |shift|^2 = 5, and (sigma - sigma')^2 of each feature: 1, 0, 4.
  assert frechet.distance(a, b) == pytest.approx(10, abs=1e-9)
  assert frechet.distance(b, a) == pytest.approx(10, abs=1e-9)


def test_frechet_distance_of_any_covariances_is_scipys():
  a, b = normal(40, 0) @ RNG(1).normal(size=(6, 6)), normal(60, 2, mean=0.3) @ RNG(3).normal(size=(6, 6))
  one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
  root = scipy.linalg.sqrtm(one @ other).real
  expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(one + other - 2 * root)
  assert frechet.distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_with_fewer_samples_than_features():
  a, b = normal(5, 0, features=64), normal(7, 1, features=64)
  assert frechet.distance(a, a) == pytest.approx(0, abs=1e-9)
  assert frechet.distance(a, a + 2) == pytest.approx(4 * 64)
  turned = np.linalg.qr(normal(64, 2, features=64))[0]
  assert frechet.distance(a @ turned, b @ turned) == pytest.approx(frechet.distance(a, b))
  assert frechet.distance(3 * a, 3 * b) == pytest.approx(9 * frechet.distance(a, b))
  with pytest.raises(ValueError, match=r'two samples or more'):
    frechet.distance(a[:1], b)


# By the package cpbd 1.0.7, on the same grey levels.
@pytest.mark.parametrize(
  ('sigma', 'expected'), [(0, 0.48390894819466246), (0.7, 0.24870466321243523), (1.5, 0.04771371769383698), (3, 0)]
)
def test_cpbd_is_that_of_the_package_cpbd(sigma, expected):
  picture = skimage.data.astronaut()[:256, 100:356].astype(float)
  frame = np.clip(scipy.ndimage.gaussian_filter(picture, (sigma, sigma, 0)), 0, 255).round().astype(np.uint8)
  assert sharpness.cpbd(frame) == pytest.approx(expected, abs=1e-12)


def test_sharpness_falls_with_blur_and_does_not_exist_without_edges():
  picture = skimage.data.astronaut()[:128, 150:278]
  blurred = [
    np.clip(scipy.ndimage.gaussian_filter(picture.astype(float), (s, s, 0)), 0, 255).astype(np.uint8)
    for s in (0, 1, 2, 4)
  ]
  assert (np.diff([sharpness.blur(frame) for frame in blurred]) > 0).all()
  assert np.isnan(sharpness.cpbd(np.full((128, 128, 3), 90, np.uint8)))
  assert np.isnan(sharpness.cpbd(picture[:32, :32]))  # no block fits


def test_flicker_sees_change_and_not_what_stays():
  truth = RNG(0).integers(50, 200, (6, 8, 8, 3), dtype=np.uint8)
  assert image_metrics.flicker(truth + np.uint8(20), truth).max() == 0
  alternating = truth + (4 * (np.arange(6) % 2)).astype(np.uint8)[:, None, None, None]
  np.testing.assert_array_equal(image_metrics.flicker(alternating, truth), 4)


def test_centred_landmark_distance_drops_position_alone():
  truth = RNG(0).uniform(0, 255, (4, 20, 2))
  np.testing.assert_allclose(landmark_metrics.centred_distance(truth + np.array([3, -8]), truth), 0, atol=1e-12)
  wider = truth.mean(1, keepdims=True) + 1.1 * (truth - truth.mean(1, keepdims=True))
  expected = 0.1 * np.linalg.norm(truth - truth.mean(1, keepdims=True), axis=-1).mean(-1)
  np.testing.assert_allclose(landmark_metrics.centred_distance(wider, truth), expected)


def test_synchrony_finds_the_shift_that_was_planted():
  sound = normal(60, 0, features=16)
  for shift in (0, 4, -7):
    found = synchrony.measure(np.roll(sound, shift, axis=0), sound)
    assert found.offset == shift
  exact = synchrony.measure(sound, sound)
  assert exact.distance == 0 and exact.confidence > 4  # two independent draws of 16 features are sqrt(32) apart
  unrelated = synchrony.measure(normal(60, 1, features=16), sound)
  assert unrelated.confidence < 0.5 < 4 < unrelated.distance


def test_synchrony_by_hand_with_silence_beyond_the_ends():
  lips, sound = np.array([[1.0], [1.0]]), np.array([[1.0], [3.0]])
  # Offsets -1, 0, 1 pair the lips with (0, 1), (1, 3), (3, 0): mean distances 1/2, 1, 3/2.
  found = synchrony.measure(lips, sound, shift=1)
  assert found == synchrony.Synchrony(confidence=0.5, distance=0.5, offset=1)


def test_cepstrum_is_that_of_python_speech_features():
  wave = (RNG(16000).normal(size=16000) * 3000).astype(np.int16)
  wave[5000:8000] = 0
  found = synchrony.cepstrum(wave)
  assert found.shape == (99, 13)
  np.testing.assert_allclose(found[0, :3], [21.92072434, -36.75628715, -11.544513], atol=1e-7)  # version 0.6
  np.testing.assert_allclose(found[-1, :3], [21.73650186, -35.26634343, -7.98858694], atol=1e-7)


def coloured(*levels):
  return np.stack([np.broadcast_to(np.array(level, np.uint8), (16, 16, 3)) for level in levels])


def test_emotion_is_the_most_probable_over_all_frames(tmp_path):
  save_network(tmp_path / 'emotion.onnx', 24, 3, 'angry, happy,sad')
  judges = shelf.open_folder(str(tmp_path))
  assert judges.emotion(coloured((255, 0, 0), (0, 200, 0))) == 'angry'
  assert judges.emotion(coloured((100, 0, 0), (0, 255, 0))) == 'happy'
  network = onnx_file.OnnxNetwork(tmp_path / 'emotion.onnx', 'x')
  shares = np.exp([1, 0, 0]) / np.exp([1, 0, 0]).sum()
  np.testing.assert_allclose(onnx_file.emotions(network, coloured((255, 0, 0))), shares, atol=1e-6)


def test_faces_are_brought_to_arcfaces_template():
  landmarks = np.zeros((68, 2))
  for points, at in (((36, 42), 0), ((42, 48), 1), ((30, 31), 2), ((48, 49), 3), ((54, 55), 4)):
    landmarks[slice(*points)] = onnx_file.TEMPLATE[at]
  picture = RNG(0).integers(256, size=(112, 112, 3), dtype=np.uint8)
  np.testing.assert_allclose(onnx_file.aligned(picture, landmarks), picture, atol=1e-6)
  shifted = np.zeros((160, 160, 3), np.uint8)
  shifted[20:132, 9:121] = picture
  found = onnx_file.aligned(shifted, landmarks + np.array([9, 20]))
  np.testing.assert_allclose(found[1:-1, 1:-1], picture[1:-1, 1:-1], atol=1e-6)


def test_what_is_missing_says_which_file_and_whence(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'dlib', None)  # as if it were not installed
  face_identity.load.cache_clear()
  judges = shelf.open_folder(None)
  assert judges.used == {} and len(judges.missing) == len(shelf.SOURCES)
  assert list(judges.missing) == ['LPIPS', 'FID', 'CSIM', 'Sync-C, Sync-D', 'NIQE', 'Acc_emo']
  assert all('for lack of ' in why and ' from ' in why and '\n' not in why for why in judges.missing.values())
  with pytest.raises(UserError, match='no such folder'):
    shelf.open_folder(str(tmp_path / 'absent'))


@pytest.mark.parametrize(
  'name',
  ['pt_inception-2015-12-05-6726825d.pth', 'syncnet_v2.model', 'lipsync_expert.pth', 'emotion.onnx', 'arcface.onnx'],
)
def test_a_file_that_holds_something_else_is_one_line(tmp_path, name):
  (tmp_path / name).write_bytes(b'no weights at all')
  with pytest.raises(UserError, match=f'--judges .*{name}') as caught:
    shelf.open_folder(str(tmp_path))
  assert '\n' not in str(caught.value)


INFOS = [protocols.ClipInfo(f'clip{k}', f'person{k % 3}', 8 + k) for k in range(6)]


def test_videos_are_consecutive_frames_of_the_first_clips():
  videos = protocols.video(INFOS, count=2, frames=5, seed=3)
  assert [v.source for v in videos] == [d.source for d in protocols.same_clip(INFOS, count=2, frames=5, seed=3)]
  assert all(v.protocol == 'video' and v.frames == (1, 2, 3, 4, 5) for v in videos)


def test_a_test_list_is_the_same_for_whoever_reads_it(tmp_path):
  drivings = protocols.same_clip(INFOS, count=0, frames=3, seed=0) + protocols.cross(INFOS, count=4, frames=3, seed=0)
  content = frozen.to_json(drivings, INFOS)
  path = tmp_path / frozen.FILE
  path.write_text(json.dumps(content))
  elsewhere = INFOS[::-1]  # another order of the same clips
  read = frozen.read(path, elsewhere)
  assert frozen.to_json(read, elsewhere) == content
  assert content['sha256'] != frozen.to_json(drivings[1:], INFOS)['sha256']
  with pytest.raises(UserError, match='clip clip5 is not in this split'):
    frozen.read(path, INFOS[:5])
  short = [*INFOS[:5], protocols.ClipInfo('clip5', 'person2', 4)]
  with pytest.raises(UserError, match='of clip clip5, which has 4 frames'):
    frozen.read(path, short)
  content['sequences'][0]['frames'][0] += 1
  pathlib.Path(path).write_text(json.dumps(content))
  with pytest.raises(UserError, match='changed by hand'):
    frozen.read(path, INFOS)
