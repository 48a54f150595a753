"""NIQE: how far the local statistics of a picture are from those of natural, sharp photographs.

Mittal, Soundararajan and Bovik (Signal Processing Letters, 2013), as in the authors' MATLAB code; what is natural is in
a file of theirs (`judges.shelf`). Grey levels are normalised by the mean and deviation around them; asymmetric
generalised Gaussians are fitted to them and to the products of neighbours, in blocks, at two scales.
"""

import dataclasses
import pathlib

import numpy as np
import scipy.io
import scipy.ndimage
import scipy.special
from PIL import Image

BLOCK = 96  # pixels; half of that at the second scale
FEATURES = 36
_LUMA = np.array([0.2989, 0.5870, 0.1140])  # MATLAB's rgb2gray
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
_SHAPES = np.arange(0.2, 10.0005, 0.001)  # that are looked through for the best fit
_RATIOS = scipy.special.gamma(2 / _SHAPES) ** 2 / (scipy.special.gamma(1 / _SHAPES) * scipy.special.gamma(3 / _SHAPES))


@dataclasses.dataclass(frozen=True)
class Natural:
  """A normal distribution of block features of natural pictures: mean float64[36], covariance float64[36, 36]."""

  mean: np.ndarray
  covariance: np.ndarray


def read(path: pathlib.Path) -> Natural:
  """Reads the authors' niqe_modelparameters.mat, or BasicSR's niqe_pris_params.npz.

  Raises:
    ValueError: in one line, if the file holds something else.
  """
  try:
    found = scipy.io.loadmat(path) if path.suffix == '.mat' else np.load(path, allow_pickle=False)
    names = ('mu_prisparam', 'cov_prisparam') if path.suffix == '.mat' else ('mu_pris_param', 'cov_pris_param')
    mean, covariance = (np.asarray(found[name], np.float64) for name in names)
    return Natural(mean.reshape(FEATURES), covariance.reshape(FEATURES, FEATURES))
  except Exception as error:  # loadmat raises what it likes
    raise ValueError(
      f'{path} holds no parameters of NIQE ({" ".join(str(error).split())[:100]}); expected a mean of '
      f'{FEATURES} numbers and their covariance'
    ) from None


def niqe(frame: np.ndarray, natural: Natural) -> float:
  """Returns NIQE of uint8[height, width, 3], lower is better; NaN below two blocks of 96 x 96 pixels.

  A picture of 256 pixels has only four blocks, of which the covariance is poorly known: compare pictures of one size.
  """
  values = features(frame)
  if len(values) < 2:
    return np.nan
  whole = values[np.isfinite(values).all(axis=1)]
  covariance = np.cov(whole, rowvar=False) if len(whole) > 1 else np.full_like(natural.covariance, np.nan)
  if not np.isfinite(covariance).all():
    return np.nan
  difference = natural.mean - np.nanmean(values, axis=0)
  return float(np.sqrt(difference @ np.linalg.pinv((natural.covariance + covariance) / 2) @ difference))


def features(frame: np.ndarray) -> np.ndarray:
  """Returns float64[blocks, 36], blocks row by row; NaN where a block is flat."""
  rows, columns = frame.shape[0] // BLOCK, frame.shape[1] // BLOCK
  image = np.round(frame[: rows * BLOCK, : columns * BLOCK].astype(np.float64) @ _LUMA)
  if not image.size:
    return np.zeros((0, FEATURES))
  scales = []
  for scale in (1, 2):
    side = BLOCK // scale
    structure = normalised(image)
    blocks = structure.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
    scales.append([_of_block(block) for block in blocks])
    # Bicubic and smoothed, as MATLAB's imresize; only the outermost pixels differ.
    half = image.shape[1] // 2, image.shape[0] // 2
    image = np.asarray(Image.fromarray(image.astype(np.float32)).resize(half, Image.Resampling.BICUBIC), np.float64)
  return np.concatenate(scales, axis=1)


def normalised(image: np.ndarray) -> np.ndarray:
  """Returns float64[height, width] less its local mean, over its local deviation plus one (7 x 7 Gaussian)."""

  def local(values):
    # A Gaussian of 7/6 pixels, cut at three: 7 x 7.
    return scipy.ndimage.gaussian_filter(values, 7 / 6, mode='nearest', radius=3)

  mean = local(image)
  return (image - mean) / (np.sqrt(np.abs(local(image**2) - mean**2)) + 1)


def fit(values: np.ndarray) -> tuple[float, float, float]:
  """Fits an asymmetric generalised Gaussian by its moments: returns shape, left and right scale.

  NaN where all values have one sign, or are zero.
  """
  values = values.reshape(-1)
  with np.errstate(invalid='ignore', divide='ignore'):
    left, right = (
      np.sqrt(np.mean(np.square(side))) if len(side) else np.nan for side in (values[values < 0], values[values > 0])
    )
    ratio = left / right
    peaked = np.mean(np.abs(values)) ** 2 / np.mean(np.square(values))
    wanted = peaked * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
  if not np.isfinite(wanted):
    return np.nan, np.nan, np.nan
  shape = _SHAPES[np.argmin(np.square(_RATIOS - wanted))]
  spread = np.sqrt(scipy.special.gamma(1 / shape) / scipy.special.gamma(3 / shape))
  return float(shape), float(left * spread), float(right * spread)


def _of_block(block: np.ndarray) -> list[float]:
  shape, left, right = fit(block)
  values = [shape, (left + right) / 2]
  for shift in _NEIGHBOURS:
    shape, left, right = fit(block * np.roll(block, shift, axis=(0, 1)))
    mean = (right - left) * scipy.special.gamma(2 / shape) / scipy.special.gamma(1 / shape)
    values += [shape, mean, left, right]
  return values
