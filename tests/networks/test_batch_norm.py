"""BatchNorm and fresh kernels of the audio networks, by PyTorch's numbers."""

import math

import jax
import numpy as np

from edtalk_jax.networks.audio import AudioToMouth, BatchNorm, draw


def test_running_statistics_move_by_a_tenth_towards_those_of_the_batch():
  x = jax.random.normal(jax.random.key(0), (5, 2, 2, 3)) * 3 + 7
  module = BatchNorm()
  variables = module.init(jax.random.key(1), x, train=False)
  _, moved = module.apply(variables, x, train=True, mutable=['batch_stats'])
  flat = np.asarray(x).reshape(-1, 3)
  np.testing.assert_allclose(moved['batch_stats']['mean'], 0.1 * flat.mean(0), rtol=1e-5)
  np.testing.assert_allclose(moved['batch_stats']['variance'], 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-5)


def test_fresh_kernels_are_uniform_within_he_bounds_of_what_goes_in():
  drawn = draw(AudioToMouth(20, 1 / 4), jax.random.key(0), np.zeros((1, 80, 16), np.float32))
  checked = 0
  for layer in [*drawn['params']['encoder'].values(), drawn['params']['mapping']]:
    kernel = np.asarray(layer['kernel'])
    bound = math.sqrt(6 / math.prod(kernel.shape[:-1]))
    assert np.abs(kernel).max() <= bound
    if kernel.size > 1000:
      np.testing.assert_allclose([kernel.min(), kernel.max()], [-bound, bound], rtol=0.05)
      np.testing.assert_allclose(kernel.std(), bound / math.sqrt(3), rtol=0.1)
      checked += 1
  assert checked > 5
