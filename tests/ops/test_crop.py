"""Face crops: the official ones, and what a bilinear lookup gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import ops
from tests.parity.golden import Case
from tests.shared import parity_dir

BOXES = np.array([[1.5, 2.0, 9.5, 11.0], [-3.0, 4.0, 20.0, 9.0]], np.float32)  # the second reaches outside


def test_official_crops():
  case = Case(parity_dir() / 'case_crop_256.npz')
  crops = ops.crop(case.input('images_u8'), case.input('bbox'), 96)
  case.check({'crops': crops}, {})


def test_it_is_the_bilinear_lookup_on_a_regular_grid():
  images = np.random.default_rng(0).normal(size=(2, 12, 16, 3)).astype(np.float32)
  left, top, right, bottom = BOXES.T
  x, y = np.linspace(left, right, 7, axis=1), np.linspace(top, bottom, 7, axis=1)
  grid = np.stack([np.repeat(2 * x[:, None] / 16 - 1, 7, axis=1), np.repeat(2 * y[..., None] / 12 - 1, 7, axis=2)], -1)
  np.testing.assert_allclose(ops.crop(images, BOXES, 7), ops.grid_sample(images, grid), atol=1e-5)


@pytest.mark.parametrize('side', [1, 2])
def test_whole_images_stay_as_they_are(side):
  """The samples of a row lie on the box's edges, so a box from centre to centre of the outer pixels is a copy."""
  images = np.random.default_rng(1).normal(size=(1, 5 * side, 5 * side, 2)).astype(np.float32)
  box = np.array([[0.5, 0.5, 5 * side - 0.5, 5 * side - 0.5]], np.float32)
  np.testing.assert_allclose(ops.crop(images, box, 5 * side), images, atol=1e-6)


def test_only_what_is_in_the_box_has_a_gradient():
  gradient = jax.grad(lambda images: jnp.sum(ops.crop(images, BOXES[:1], 9)))(jnp.zeros((1, 12, 16, 1)))[0, ..., 0]
  rows, columns = np.nonzero(np.asarray(gradient))
  # Pixels whose centre is within one pixel of the box, from 1.5 to 9.5 and from 2 to 11.
  assert (columns.min(), columns.max(), rows.min(), rows.max()) == (1, 9, 1, 11)
