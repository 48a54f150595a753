import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax.config import PerceptualConfig
from edtalk_jax.stages import losses
from edtalk_jax.stages.perceptual import Perceptual


def test_unit_range_is_the_official_transform():
  values = np.arange(256, dtype=np.uint8)
  official = ((values / 255.0).astype(np.float32) - np.float32(0.5)) * np.float32(2)
  np.testing.assert_array_equal(jax.jit(losses.to_unit_range)(values), official)
  assert official[0] == -1 and official[255] == 1


def test_l1_is_per_example_and_sums_views():
  target = jnp.zeros((3, 2, 4, 4, 3))
  prediction = target.at[1, 0].set(0.5).at[1, 1].set(-0.25)
  np.testing.assert_allclose(losses.l1(prediction, target), [0, 0.75, 0])


def test_space_distance_spans_exp_of_the_cosine():
  a = jnp.array([[[1.0, 2.0]], [[1.0, 0.0]], [[1.0, 1.0]]])
  b = jnp.array([[[2.0, 4.0]], [[0.0, 3.0]], [[-2.0, -2.0]]])
  np.testing.assert_allclose(losses.space_distance(a, b), np.exp([-1, 0, 1]), rtol=1e-6)


def test_correlation_is_none_of_independent_weights_and_one_per_weight_that_can_be_read():
  draw = np.random.default_rng(0)
  mouth, noise = draw.normal(size=(2, 4096, 4, 3)).astype(np.float32)
  # 16384 independent draws: a squared correlation is 1 / 16384 on average, and two are added.
  np.testing.assert_allclose(losses.correlation(mouth, noise[..., :2]), np.full(4096, 2 / 16384), atol=5e-4)
  pose = np.stack([7 * mouth[..., 0] + 100, noise[..., 0]], axis=-1)
  np.testing.assert_allclose(losses.correlation(mouth, pose), np.full(4096, 1 / 3), atol=1e-3)


def test_correlation_moves_the_first_weights_only_and_survives_constants():
  ones, other = jnp.ones((4, 2, 3)), jax.random.normal(jax.random.key(0), (4, 2, 2))
  of_first, of_second = jax.grad(lambda a, b: jnp.sum(losses.correlation(a, b)), (0, 1))(ones, other)
  assert np.all(np.isfinite(of_first))
  np.testing.assert_array_equal(of_second, np.zeros_like(other))


def test_space_distance_has_a_finite_gradient_at_zero_motion():
  gradient = jax.grad(lambda a: jnp.sum(losses.space_distance(a, jnp.ones((1, 1, 3)))))(jnp.zeros((1, 1, 3)))
  assert np.all(np.isfinite(gradient))


def test_space_distance_of_weights_is_that_of_motions():
  """The official code measures Q a in style space; orthonormal columns make that the same number."""
  basis, _ = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (32, 5)))
  a, b = jax.random.normal(jax.random.key(1), (2, 4, 1, 5))
  np.testing.assert_allclose(losses.space_distance(a @ basis.T, b @ basis.T), losses.space_distance(a, b), rtol=1e-5)


def test_logistic_losses_at_zero_logits():
  zero = jnp.zeros((2, 3))
  np.testing.assert_allclose(losses.generator_adversarial(zero), np.log(2) * np.ones(2), rtol=1e-6)
  real, fake = losses.discriminator_adversarial(jnp.full((2, 3), 9.0), jnp.full((2, 3), -9.0))
  assert np.all(real < 1e-3) and np.all(fake < 1e-3)


def test_perceptual_distances_of_several_predictions_are_those_of_each():
  perceptual = Perceptual(PerceptualConfig(scales=(1.0, 0.5), width=0.125), 'float32', 'none')
  params = perceptual.init()
  first, second, target = (jax.random.uniform(jax.random.key(i), (2, 2, 32, 32, 3)) * 2 - 1 for i in range(3))
  distances = jax.jit(perceptual.distances)
  both = distances(params, jnp.concatenate([first, second], axis=1), target)
  np.testing.assert_allclose(both[:, 0], distances(params, first, target)[:, 0], rtol=1e-5)
  np.testing.assert_allclose(both[:, 1], distances(params, second, target)[:, 0], rtol=1e-5)
  # Ten for each of five layers and two scales, times a mean difference that is zero only for equal pictures.
  np.testing.assert_array_equal(distances(params, target, target), np.zeros((2, 1)))
  assert np.all(both > 0.1)
