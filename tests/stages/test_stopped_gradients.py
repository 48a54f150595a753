"""Terms that should move one side only, on inputs where the other side would move."""

import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax.stages import losses, population


def test_correlation_moves_the_weights_that_tell_and_not_those_that_are_told():
  first = jax.random.normal(jax.random.key(0), (16, 2, 3))
  second = first[..., :2] + jax.random.normal(jax.random.key(1), (16, 2, 2))
  of_first, of_second = jax.grad(lambda a, b: jnp.sum(losses.correlation(a, b)), (0, 1))(first, second)
  assert np.abs(of_first).max() > 1e-3
  np.testing.assert_array_equal(of_second, np.zeros_like(second))


def test_what_is_explained_moves_the_space_that_is_told_and_neither_the_others_nor_the_codes():
  codes = jax.random.normal(jax.random.key(0), (64, 4))
  heads = {name: jax.random.normal(jax.random.key(seed), (4, 3)) for seed, name in enumerate(('expression', 'mouth'))}

  def explained(heads, codes):
    motion = lambda codes: {name: codes @ head for name, head in heads.items()}
    gathered = population.gather(population.init(4), codes)
    return population.explained(gathered, motion, 'expression', ['mouth'])

  of_heads, of_codes = jax.grad(explained, (0, 1))(heads, codes)
  assert np.abs(of_heads['expression']).max() > 1e-4
  np.testing.assert_array_equal(of_heads['mouth'], np.zeros((4, 3)))
  np.testing.assert_array_equal(of_codes, np.zeros_like(codes))
