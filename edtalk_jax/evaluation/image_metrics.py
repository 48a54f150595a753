"""L1, PSNR, SSIM and flicker between uint8 frames, in the conventions of scikit-image."""

import numpy as np
import skimage.metrics

# Frames that agree in every pixel have an infinite PSNR, which no mean survives. One grey level of error in a single
# value of a 256-pixel frame is 101 dB, so that this bound only ever replaces infinity or its neighbourhood.
PSNR_CEILING = 100.0  # dB


def _check(prediction: np.ndarray, truth: np.ndarray) -> None:
  for name, image in (('prediction', prediction), ('truth', truth)):
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
      raise ValueError(f'{name} must be uint8[height, width, 3], got {image.dtype}{list(image.shape)}')
  if prediction.shape != truth.shape:
    raise ValueError(f'prediction has shape {prediction.shape}, truth {truth.shape}')


def l1(prediction: np.ndarray, truth: np.ndarray) -> float:
  """Mean absolute difference over pixels and channels, in grey levels (0 to 255)."""
  _check(prediction, truth)
  return float(np.abs(prediction.astype(np.int16) - truth.astype(np.int16)).mean())


def psnr(prediction: np.ndarray, truth: np.ndarray) -> float:
  """Peak signal-to-noise ratio in dB: data range 255, one mean squared error over pixels and channels.

  Equal to `skimage.metrics.peak_signal_noise_ratio(truth, prediction, data_range=255)`, but at most `PSNR_CEILING`.
  """
  _check(prediction, truth)
  error = np.mean((prediction.astype(np.float64) - truth.astype(np.float64)) ** 2)
  return PSNR_CEILING if error == 0 else min(PSNR_CEILING, float(10 * np.log10(255**2 / error)))


def ssim(prediction: np.ndarray, truth: np.ndarray) -> float:
  """Structural similarity (Wang et al., 2004), between -1 and 1.

  `skimage.metrics.structural_similarity` with `data_range=255`, `channel_axis=-1` and its defaults otherwise: a
  uniform 7 x 7 window, sample covariance, the mean over pixels (3-pixel border cut) and channels. The Gaussian window
  of the original paper gives slightly different numbers.
  """
  _check(prediction, truth)
  return float(skimage.metrics.structural_similarity(truth, prediction, data_range=255, channel_axis=-1))


def flicker(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """How differently two videos change, uint8[frames, height, width, 3] twice -> float64[frames - 1], in grey levels.

  Mean over pixels and channels of |(p[t + 1] - p[t]) - (q[t + 1] - q[t])|. Ours, as the difference of temporal changes
  that Chu et al. (2020, tLP) take between features: an error that stays where it is does not flicker.
  """
  if prediction.shape != truth.shape or prediction.ndim != 4:
    raise ValueError(f'expected two videos of one shape, got {prediction.shape} and {truth.shape}')
  error = prediction.astype(np.int16) - truth.astype(np.int16)
  return np.abs(np.diff(error, axis=0)).mean(axis=(1, 2, 3))
