"""Each part of a flow is undone by its inverse, and says by how much it changes volumes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax.ops import flow

X = np.random.default_rng(0).normal(2.0, 3.0, (2, 5, 4)).astype(np.float32)
VALID = np.array([[True] * 5, [True] * 3 + [False] * 2])


def test_a_rotation_turns_and_is_drawn_by_its_seed():
  parts = flow.rotation(4, 1)
  matrix = flow.mix(np.eye(4, dtype=np.float32)[None], parts)[0][0]
  np.testing.assert_allclose(matrix @ matrix.T, np.eye(4), atol=1e-6)
  assert abs(float(np.sum(parts['log_diagonal']))) < 1e-6  # |det| = 1
  assert not np.allclose(matrix, flow.mix(np.eye(4, dtype=np.float32)[None], flow.rotation(4, 2))[0][0])


def trained(parts):
  """Parts as training may leave them: no rotation any more."""
  rng = np.random.default_rng(3)
  return {
    name: part if name in ('permutation', 'sign') else part + rng.normal(0, 0.3, part.shape).astype(np.float32)
    for name, part in parts.items()
  }


@pytest.mark.parametrize('name', ['actnorm', 'mix', 'couple'])
def test_inverse_and_change_of_volume(name):
  scale, shift = X[0, 0] / 5, X[0, 1]
  forward, inverse = {
    'actnorm': (lambda x: flow.actnorm(x, scale, shift), lambda y: flow.actnorm_inverse(y, scale, shift)),
    'mix': (
      lambda x: flow.mix(x, trained(flow.rotation(4, 0))),
      lambda y: flow.mix_inverse(y, trained(flow.rotation(4, 0))),
    ),
    'couple': (lambda x: flow.couple(x, X / 5, X), lambda y: flow.couple_inverse(y, X / 5, X)),
  }[name]
  y, change = forward(X)
  np.testing.assert_allclose(inverse(y), X, atol=1e-4)  # numbers of order 10, in float32
  jacobian = jax.jacobian(lambda frame: forward(jnp.asarray(X).at[1, 2].set(frame))[0][1, 2])(X[1, 2])
  change = np.broadcast_to(change, X.shape[:2])[1, 2]
  np.testing.assert_allclose(change, np.linalg.slogdet(jacobian)[1], atol=1e-5)


def test_actnorm_begins_at_the_statistics_of_the_frames_that_exist():
  spoilt = np.where(VALID[..., None], X, 1e6)
  y = np.asarray(flow.actnorm(spoilt, *flow.actnorm_start(spoilt, VALID))[0])[VALID]
  np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(y.std(0), 1, atol=1e-5)


def test_normal_density_of_two_numbers_by_hand():
  assert float(flow.normal_log_density(jnp.array([1.0, 2.0]))) == pytest.approx(-2.5 - np.log(2 * np.pi))


@pytest.mark.parametrize('dilation', [1, 2])
def test_temporal_conv_is_numpys(dilation):
  kernel = np.random.default_rng(1).normal(size=(3, 4, 2)).astype(np.float32)
  spread = np.zeros((2 * dilation + 1, 4, 2), np.float32)
  spread[::dilation] = kernel
  wanted = sum(
    np.stack([np.convolve(X[0, :, i], spread[::-1, i, o], 'full')[dilation : dilation + 5] for o in range(2)], -1)
    for i in range(4)
  )
  np.testing.assert_allclose(flow.temporal_conv(X, kernel, dilation)[0], wanted, atol=1e-4)


def test_innovations_are_what_prediction_leaves_and_compose_undoes_them():
  predictor = np.random.default_rng(2).normal(0, 0.3, (2, 4, 4)).astype(np.float32)
  left = flow.innovations(X, predictor)
  np.testing.assert_allclose(left[0, 0], X[0, 1] - X[0, 0] @ (predictor[0] + predictor[1]), atol=1e-5)
  np.testing.assert_allclose(left[1, 2], X[1, 3] - X[1, 2] @ predictor[0] - X[1, 1] @ predictor[1], atol=1e-5)
  np.testing.assert_allclose(flow.compose(left, predictor, X[:, 0]), X[:, 1:], atol=1e-4)


def test_the_prediction_is_the_one_that_made_the_data_and_never_runs_away():
  rng, made = np.random.default_rng(4), np.stack([1.2 * np.eye(2), [[-0.5, 0.1], [0.0, -0.4]]]).astype(np.float32)
  noise = rng.normal(size=(8, 300, 2)).astype(np.float32)
  x = np.concatenate([noise[:, :1], flow.compose(noise[:, 1:], made, noise[:, 0])], 1)
  valid = np.ones(x.shape[:2], bool)
  # 2400 frames: a coefficient's standard deviation is about 0.02.
  np.testing.assert_allclose(flow.predictor_start(x, valid), made, atol=0.08)
  growing = flow.compose(noise, np.stack([1.02 * np.eye(2), np.zeros((2, 2))]).astype(np.float32), noise[:, 0])
  predictor = flow.predictor_start(growing / np.std(growing), valid)
  far = flow.compose(np.zeros((1, 2000, 2), np.float32), predictor, np.ones((1, 2), np.float32))
  assert np.abs(far).max() < 10
