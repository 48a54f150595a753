"""NIQE against sums written out, and against what the authors' definitions say of known distributions."""

import numpy as np
import pytest
import scipy.io
import scipy.ndimage
import scipy.stats

from edtalk_jax.evaluation import naturalness
from edtalk_jax.evaluation.judges import shelf


def picture(seed=0, height=192, width=200, blur=1.0):
  rng = np.random.default_rng(seed)
  noise = scipy.ndimage.gaussian_filter(rng.normal(size=(height, width, 3)), (blur, blur, 0))
  return np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)


@pytest.fixture(scope='module')
def natural():
  """Of other pictures of the same kind: their own mean and covariance."""
  values = np.concatenate([naturalness.features(picture(seed)) for seed in range(10, 22)])
  return naturalness.Natural(values.mean(axis=0), np.cov(values, rowvar=False) + 1e-3 * np.eye(36))


def normalised_by_loops(image):
  """The definition, pixel by pixel."""
  weights = np.exp(-np.square(np.arange(-3, 4)) / (2 * (7 / 6) ** 2))
  window = np.outer(weights, weights) / weights.sum() ** 2
  padded = np.pad(image, 3, mode='edge')
  result = np.zeros_like(image)
  for y in range(image.shape[0]):
    for x in range(image.shape[1]):
      part = padded[y : y + 7, x : x + 7]
      mean = (window * part).sum()
      result[y, x] = (image[y, x] - mean) / (np.sqrt(abs((window * part**2).sum() - mean**2)) + 1)
  return result


def test_local_normalisation_is_its_definition():
  image = picture()[:20, :30, 0].astype(np.float64)
  np.testing.assert_allclose(naturalness.normalised(image), normalised_by_loops(image), atol=1e-9)


@pytest.mark.parametrize('shape', [0.8, 1.0, 2.0, 4.0])
def test_the_fit_finds_the_parameters_that_samples_were_drawn_with(shape):
  samples = scipy.stats.gennorm(shape, scale=1.7).rvs(200_000, random_state=np.random.default_rng(1))
  found = naturalness.fit(samples)
  # 200,000 samples determine the moments to about 0.5 %, and shape and scale to a few times that.
  np.testing.assert_allclose(found, (shape, 1.7, 1.7), rtol=0.03)


def test_the_fit_tells_left_from_right():
  samples = scipy.stats.gennorm(2, scale=1).rvs(100_000, random_state=np.random.default_rng(2))
  samples = np.where(samples < 0, 0.5 * samples, samples)
  shape, left, right = naturalness.fit(samples)
  assert right / left == pytest.approx(2, rel=0.02) and shape > 0
  assert naturalness.fit(-samples) == pytest.approx((shape, right, left))
  assert np.isnan(naturalness.fit(np.zeros(9))).all()


def independent_features(block):
  """The 18 features of a block, by scipy's root finder instead of the authors' table."""

  def solve(values):
    left, right = (np.sqrt((values[mask] ** 2).mean()) for mask in (values < 0, values > 0))
    gamma = left / right
    r = np.abs(values).mean() ** 2 / (values**2).mean()
    wanted = r * (gamma**3 + 1) * (gamma + 1) / (gamma**2 + 1) ** 2

    def ratio(a):
      g = scipy.special.gamma
      return g(2 / a) ** 2 / (g(1 / a) * g(3 / a))

    a = scipy.optimize.brentq(lambda a: ratio(a) - wanted, 0.2, 10)
    scale = np.sqrt(scipy.special.gamma(1 / a) / scipy.special.gamma(3 / a))
    return a, left * scale, right * scale

  a, left, right = solve(block)
  values = [a, (left + right) / 2]
  height, width = block.shape
  for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
    moved = np.array([[block[(y - dy) % height, (x - dx) % width] for x in range(width)] for y in range(height)])
    a, left, right = solve(block * moved)
    values += [a, (right - left) * scipy.special.gamma(2 / a) / scipy.special.gamma(1 / a), left, right]
  return values


def test_features_equal_an_independent_computation():
  frame = picture(3)
  grey = np.round(frame[:192, :192] @ [0.2989, 0.5870, 0.1140])
  structure = naturalness.normalised(grey)
  expected = [independent_features(structure[y : y + 96, x : x + 96]) for y in (0, 96) for x in (0, 96)]
  found = naturalness.features(frame)
  assert found.shape == (4, 36)
  # The table steps by 0.001 in shapes of 0.7 to 3.
  np.testing.assert_allclose(found[:, :18], expected, rtol=2e-3, atol=2e-4)


def test_what_is_blurred_or_noisy_is_less_natural(natural):
  good = naturalness.niqe(picture(1), natural)
  assert good < naturalness.niqe(picture(1, blur=3.0), natural)
  noisy = np.clip(picture(1) + np.random.default_rng(0).normal(0, 25, picture(1).shape), 0, 255).astype(np.uint8)
  assert good < naturalness.niqe(noisy, natural)


def test_the_distance_is_mahalanobis_of_the_mean_of_both_covariances(natural):
  values = naturalness.features(picture(5))
  middle = (np.cov(values, rowvar=False) + natural.covariance) / 2
  expected = scipy.spatial.distance.mahalanobis(values.mean(axis=0), natural.mean, np.linalg.inv(middle))
  assert naturalness.niqe(picture(5), natural) == pytest.approx(expected, rel=1e-6)


def test_small_and_flat_pictures_have_none(natural):
  assert np.isnan(naturalness.niqe(picture(0, 100, 100), natural))
  assert np.isnan(naturalness.niqe(picture(0, 64, 64), natural))
  assert np.isnan(naturalness.niqe(np.full((192, 192, 3), 7, np.uint8), natural))


@pytest.mark.parametrize('name', shelf.NIQE_FILES)
def test_both_published_files_are_read_and_others_are_told(tmp_path, natural, name):
  path = tmp_path / name
  if path.suffix == '.mat':
    scipy.io.savemat(path, {'mu_prisparam': natural.mean[None], 'cov_prisparam': natural.covariance})
  else:
    np.savez(path, mu_pris_param=natural.mean[None], cov_pris_param=natural.covariance)
  judges = shelf.open_folder(str(tmp_path))
  assert name in judges.used['NIQE']
  assert judges.naturalness(picture(1)) == pytest.approx(naturalness.niqe(picture(1), natural))
  path.write_bytes(b'other')
  with pytest.raises(shelf.UserError, match='holds no parameters of NIQE') as caught:
    shelf.open_folder(str(tmp_path))
  assert '\n' not in str(caught.value)
