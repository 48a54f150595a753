"""Basis, pooling, activation and statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from edtalk_jax import ops
from edtalk_jax.ops import activation, lanes, orthonormal, pooling


def _bank(seed=0, columns=6):
  return jax.random.normal(jax.random.key(seed), (32, columns))


def test_basis_is_orthonormal_and_spans_the_bank():
  q = ops.orthonormal_basis(_bank())
  np.testing.assert_allclose(q.T @ q, np.eye(6), atol=1e-6)
  np.testing.assert_allclose(q @ (q.T @ _bank()), _bank(), atol=1e-5)


def test_basis_has_a_positive_diagonal_and_keeps_leading_columns():
  q = ops.orthonormal_basis(_bank())
  assert np.all(np.diagonal(q.T @ _bank()) > 0)
  np.testing.assert_allclose(ops.orthonormal_basis(_bank()[:, :4]), q[:, :4], atol=1e-6)


def test_basis_is_continuous_where_the_householder_sign_flips():
  pivot = lambda value: _bank().at[0, 0].set(value)
  step = ops.orthonormal_basis(pivot(1e-4)) - ops.orthonormal_basis(pivot(-1e-4))
  assert np.max(np.abs(step)) < 1e-3
  official = lambda w: np.linalg.qr(np.asarray(w))[0]
  assert np.max(np.abs(official(pivot(1e-4)) - official(pivot(-1e-4)))) > 0.1


def test_signs_convert_official_weights():
  w = np.asarray(_bank(3))
  np.testing.assert_allclose(ops.orthonormal_basis(w * ops.householder_signs(w)), np.linalg.qr(w)[0], atol=1e-6)


def test_basis_of_a_sharded_bank_is_the_same():
  mesh = jax.make_mesh((8,), ('fsdp',), axis_types=(jax.sharding.AxisType.Auto,))
  w = jax.device_put(_bank(), NamedSharding(mesh, PartitionSpec('fsdp')))
  np.testing.assert_allclose(jax.jit(ops.orthonormal_basis)(w), ops.orthonormal_basis(_bank()), atol=1e-6)


def test_gradient_of_the_basis_is_that_of_the_columns_one_by_one():
  w, cotangent = _bank(1), _bank(2)
  form = orthonormal._gram_schmidt
  got, want = (jax.vjp(basis, w)[1](cotangent)[0] for basis in (form, form.fun))
  np.testing.assert_allclose(got, want, atol=1e-6)  # of numbers of some 0.5


def test_basis_needs_at_least_as_many_rows_as_columns():
  with pytest.raises(ValueError, match='dim >= n'):
    ops.orthonormal_basis(jnp.ones((3, 4)))


def test_max_pool_equals_reduce_window_and_drops_odd_borders():
  x = jax.random.normal(jax.random.key(0), (2, 7, 6, 3))
  want = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID')
  np.testing.assert_array_equal(ops.max_pool(x), want)


def test_max_pool_gives_the_gradient_to_the_first_of_equals():
  gradient = jax.grad(lambda x: jnp.sum(ops.max_pool(x)))(jnp.ones((1, 2, 2, 1)))
  np.testing.assert_array_equal(gradient[0, :, :, 0], [[1, 0], [0, 0]])


def test_what_is_not_a_number_is_pooled_as_such_and_the_last_has_the_gradient():
  x = jnp.full((1, 2, 2, 1), jnp.nan)
  assert jnp.isnan(ops.max_pool(x)).all()
  np.testing.assert_array_equal(jax.grad(lambda x: jnp.sum(ops.max_pool(x)))(x)[0, :, :, 0], [[0, 0], [0, 1]])


def test_leaky_relu_scaled():
  got = ops.leaky_relu_scaled(jnp.array([[2.0, -2.0]]), jnp.array([1.0, 1.0]))
  np.testing.assert_allclose(got, np.sqrt(2) * np.array([[3, -0.2]]), rtol=1e-6)


def test_scale_and_gain_of_the_activation():
  x, bias = jax.random.normal(jax.random.key(0), (2, 3, 4)), jnp.arange(4.0)

  def loss(activate):
    return jax.jit(jax.value_and_grad(lambda x, bias: jnp.sum(jnp.tanh(activate(x, bias)) ** 2), (0, 1)))(x, bias)

  got = loss(lambda x, bias: ops.leaky_relu_scaled(x, bias, scale=0.3, gain=0.7))
  want = loss(lambda x, bias: 0.7 * np.sqrt(2) * jax.nn.leaky_relu(0.3 * x + bias[None, None], 0.2))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, want)


@pytest.mark.parametrize('columns, pictures', [(1, 2), (2, 2), (2, 9)])  # 9: more than a tile of memory holds
def test_convolution_in_quarters_is_pooled_as_the_whole_map(columns, pictures):
  x = jnp.round(2 * jax.random.normal(jax.random.key(0), (pictures, 6, 8, 3))) / 2  # so that some of a block are equal
  kernel = jnp.round(jax.random.normal(jax.random.key(1), (3, 3, 3, 5)))

  def everything(f):
    out, pull_back = jax.vjp(f, x, kernel)
    return out, pull_back(jnp.cos(jnp.arange(out.size).reshape(out.shape)))

  form = lambda x, kernel: pooling.convolve_in_quarters(lanes.join_columns(x, columns), kernel, columns)
  got = jax.jit(lambda: everything(lambda *args: lanes.split_columns(form(*args), columns)))()
  want = jax.jit(lambda: everything(lambda x, kernel: ops.max_pool(ops.conv(x, kernel))))()
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), got, want)


@pytest.mark.parametrize(
  'function, plain',
  [
    (ops.leaky_relu_scaled, lambda x: np.sqrt(2) * jax.nn.leaky_relu(x, 0.2)),
    (ops.relu, jax.nn.relu),
  ],
)
def test_gradients_by_the_result_are_those_of_autodiff(function, plain):
  x, bias = jax.random.normal(jax.random.key(0), (2, 3, 4, 6)), jax.random.normal(jax.random.key(1), (3,))
  x = x.at[0, 0].set(-jnp.concatenate([bias, bias]))  # exactly at the kink

  def everything(f):
    loss = lambda x, bias: jnp.sum(jnp.tanh(f(x, bias)) ** 2)
    first = jax.grad(loss, (0, 1))
    penalty = lambda x, bias: sum(jnp.sum(part**2) for part in first(x, bias))
    return loss(x, bias), first(x, bias), jax.grad(penalty, (0, 1))(x, bias)

  got = jax.jit(lambda: everything(function))()  # two columns side by side
  want = jax.jit(lambda: everything(lambda x, bias: plain(x + jnp.concatenate([bias, bias])[None, None, None])))()
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, want)


def test_gradients_of_the_normalized_activation_are_those_of_autodiff():
  x, norm, bias = (
    jax.random.normal(jax.random.key(seed), shape) for seed, shape in enumerate([(2, 3, 4, 6), (2, 3), (3,)])
  )
  norm = jnp.exp(norm)
  twice = lambda values: jnp.concatenate([values, values], -1)

  def everything(f):
    loss = lambda *args: jnp.sum(jnp.tanh(f(*args)) ** 2)
    first = jax.grad(loss, (0, 1, 2))
    penalty = lambda *args: sum(jnp.sum(part**2) for part in first(*args))
    return loss(x, norm, bias), first(x, norm, bias), jax.grad(penalty, (0, 1, 2))(x, norm, bias)

  got = jax.jit(lambda: everything(activation.leaky_relu_normalized))()  # two columns side by side
  plain = lambda x, norm, bias: x * twice(norm)[:, None, None] + twice(bias)[None, None, None]
  want = jax.jit(lambda: everything(lambda *args: np.sqrt(2) * jax.nn.leaky_relu(plain(*args), 0.2)))()
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), got, want)


@pytest.mark.parametrize('channels', [3, 24, 28, 48, 64, 256])
def test_gradients_of_many_columns_side_by_side_are_those_of_each(channels):
  x, bias = (
    jax.random.normal(jax.random.key(seed), shape) for seed, shape in enumerate([(2, 3, 32, channels), (channels,)])
  )
  gradients = jax.jit(jax.grad(lambda x, bias: jnp.sum(jnp.tanh(ops.leaky_relu_scaled(x, bias)) ** 2), (0, 1)))
  of_x, of_bias = gradients(lanes.join_columns(x, 16), bias)
  want = gradients(x, bias)
  np.testing.assert_allclose(lanes.split_columns(of_x, 16), want[0], rtol=1e-6)
  np.testing.assert_allclose(of_bias, want[1], rtol=1e-5)


def test_columns_that_are_not_whole_are_refused():
  with pytest.raises(ValueError, match='8 numbers side by side are no columns of 3 channels'):
    ops.leaky_relu_scaled(jnp.zeros((1, 2, 2, 8)), jnp.zeros(3))


def test_only_of_layers_that_train_a_gradient_is_kept_from_being_fused():
  x, bias = jnp.ones((1, 2, 2, 3)), jnp.zeros(3)
  loss = lambda x, bias: jnp.sum(ops.leaky_relu_scaled(x, bias))
  both, frozen = (str(jax.make_jaxpr(jax.grad(jax.jit(loss), argnums))(x, bias)) for argnums in ((0, 1), 0))
  assert 'optimization_barrier' in both
  assert 'optimization_barrier' not in frozen


def test_instance_norm_is_computed_in_float32_with_biased_variance():
  x = jnp.array([1.0, 3.0], jnp.bfloat16).reshape(1, 2, 1, 1)
  y = ops.instance_norm(x)
  assert y.dtype == jnp.float32
  np.testing.assert_allclose(y[0, :, 0, 0], np.array([-1, 1]) / np.sqrt(1 + 1e-5), rtol=1e-6)


def test_minibatch_stddev_strides_its_groups_through_the_batch():
  # Samples n and n + 2 share a group: slot 0 holds 0 and 4, slot 1 twice the same.
  x = jnp.broadcast_to(jnp.array([0.0, 7.0, 4.0, 7.0])[:, None, None, None], (4, 2, 2, 3))
  y = ops.minibatch_stddev(x, 2)
  assert y.shape == (4, 2, 2, 4)
  np.testing.assert_allclose(y[:, 0, 0, -1], [2, 1e-4, 2, 1e-4], rtol=1e-5)
  np.testing.assert_array_equal(y[..., :3], x)


@pytest.mark.parametrize(('batch', 'group'), [(3, 3), (6, 3), (8, 4), (10, 2), (5, 1)])
def test_minibatch_stddev_takes_the_largest_group_that_divides_the_batch(batch, group):
  x = jnp.arange(batch, dtype=jnp.float32)[:, None, None, None] * jnp.ones((1, 2, 2, 3))
  expected = np.sqrt(np.var(np.arange(batch).reshape(group, -1), axis=0) + 1e-8)
  np.testing.assert_allclose(ops.minibatch_stddev(x, 4)[:, 0, 0, -1], np.tile(expected, group), rtol=1e-5)


@pytest.mark.parametrize('batch, views, group', [(4, 2, 4), (4, 4, 4), (4, 4, 2), (6, 3, 6), (3, 4, 4), (4, 3, 2)])
def test_minibatch_stddev_of_views_is_that_of_the_official_order(batch, views, group):
  x = jax.random.normal(jax.random.key(0), (batch, views, 2, 2, 3))
  official = ops.minibatch_stddev(x.swapaxes(0, 1).reshape(-1, 2, 2, 3), group).reshape(views, batch, 2, 2, 4)
  got = ops.minibatch_stddev(x.reshape(-1, 2, 2, 3), group, views).reshape(batch, views, 2, 2, 4)
  # The same numbers added up in another order.
  np.testing.assert_allclose(got, official.swapaxes(0, 1), rtol=1e-5)
