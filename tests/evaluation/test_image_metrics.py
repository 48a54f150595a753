import numpy as np
import pytest
import skimage.metrics

from edtalk_jax.evaluation import image_metrics


def _pair(seed=0):
  rng = np.random.default_rng(seed)
  truth = rng.integers(256, size=(24, 24, 3), dtype=np.uint8)
  return np.clip(truth + rng.normal(0, 12, truth.shape), 0, 255).astype(np.uint8), truth


def test_psnr_is_scikit_images():
  prediction, truth = _pair()
  expected = skimage.metrics.peak_signal_noise_ratio(truth, prediction, data_range=255)
  assert image_metrics.psnr(prediction, truth) == pytest.approx(expected, abs=1e-9)


def test_a_known_error_gives_the_numbers_by_hand():
  truth = np.full((16, 16, 3), 100, np.uint8)
  prediction = truth + np.uint8(10)
  assert image_metrics.l1(prediction, truth) == 10
  assert image_metrics.psnr(prediction, truth) == pytest.approx(20 * np.log10(25.5))
  # Without structure only the luminance term is left: (2ab + c1) / (a^2 + b^2 + c1), c1 = (0.01 * 255)^2.
  c1 = 2.55**2
  expected = (2 * 100 * 110 + c1) / (100**2 + 110**2 + c1)
  assert image_metrics.ssim(prediction, truth) == pytest.approx(expected, abs=1e-9)


def test_differences_do_not_wrap_around():
  black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
  assert image_metrics.l1(black, white) == image_metrics.l1(white, black) == 255
  assert image_metrics.psnr(black, white) == 0


def test_equal_frames_have_a_finite_psnr():
  _, truth = _pair()
  assert image_metrics.psnr(truth, truth) == image_metrics.PSNR_CEILING
  assert image_metrics.ssim(truth, truth) == pytest.approx(1)
  assert image_metrics.l1(truth, truth) == 0


@pytest.mark.parametrize('measure', [image_metrics.l1, image_metrics.psnr, image_metrics.ssim])
def test_wrong_frames_are_named(measure):
  prediction, truth = _pair()
  with pytest.raises(ValueError, match='prediction must be uint8'):
    measure(prediction / 255, truth)
  with pytest.raises(ValueError, match='shape'):
    measure(prediction[1:], truth)
