"""The FLOP counter against hand counts and XLA's own count of single operations."""

import functools

import jax
import jax.numpy as jnp
import pytest

from edtalk_jax import ops
from edtalk_jax.training import flops

LAYOUT = ('NHWC', 'HWIO', 'NHWC')


def shapes(*sizes):
  return [jax.ShapeDtypeStruct(size, jnp.float32) for size in sizes]


def conv(x, kernel, strides=(1, 1), padding=((0, 0), (0, 0)), **more):
  return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=LAYOUT, **more)


@pytest.mark.parametrize(
  ('subscripts', 'first', 'second', 'expected'),
  [
    ('ij,jk->ik', (3, 5), (5, 7), 2 * 3 * 5 * 7),
    ('bij,bjk->bik', (4, 3, 5), (4, 5, 7), 2 * 4 * 3 * 5 * 7),
    ('ijk,ijk->', (2, 3, 4), (2, 3, 4), 2 * 24),
  ],
)
def test_dots(subscripts, first, second, expected):
  assert flops.count(functools.partial(jnp.einsum, subscripts), *shapes(first, second)) == expected


def test_what_is_computed_again_does_not_count_as_needed():
  def loss(block, kernel, x):
    return jnp.sum(block(lambda kernel, x: jnp.tanh(jnp.tanh(x @ kernel) @ kernel))(kernel, x))

  gradient = lambda block: jax.grad(functools.partial(loss, block))
  plain, again = gradient(lambda f: f), gradient(jax.checkpoint)
  arguments = shapes((4, 4), (2, 4))
  assert flops.count(again, *arguments) == flops.count(plain, *arguments)
  # Both products of the forward pass run once more.
  assert flops.count(again, *arguments, platform='cpu') == flops.count(plain, *arguments) + 2 * 2 * 2 * 4 * 4


def test_convolutions_by_hand():
  x, kernel = shapes((2, 8, 8, 4), (3, 3, 4, 5))
  assert flops.count(conv, x, kernel) == 2 * 2 * 6 * 6 * 9 * 4 * 5
  # With zeros around, the outer taps of the outermost positions meet no pixel: 3 * 8 - 2 pairs along each axis.
  same = functools.partial(conv, padding='SAME')
  assert flops.count(same, x, kernel) == 2 * 2 * 22**2 * 4 * 5
  # Every pixel of the input meets every tap once; the holes in between and the border beyond are free.
  transposed = functools.partial(conv, padding=((2, 2), (2, 2)), lhs_dilation=(2, 2))
  assert flops.count(transposed, x, kernel) == 2 * 2 * 8 * 8 * 9 * 4 * 5


@pytest.mark.parametrize(
  'options',
  [
    {},
    {'strides': (2, 2), 'padding': ((1, 1), (2, 0))},
    {'padding': ((2, 1), (3, 3)), 'lhs_dilation': (2, 3)},
    {'rhs_dilation': (2, 1), 'padding': ((1, 2), (0, 1)), 'strides': (1, 3)},
    {'feature_group_count': 2},
    {'batch_group_count': 2},
  ],
)
def test_convolutions_as_xla_counts_them(options):
  """Of the convolution and of both its gradients, which XLA writes with dilations and groups of their own."""
  function = functools.partial(conv, **options)
  x, kernel = shapes((2, 9, 11, 4), (3, 2, 4 // options.get('feature_group_count', 1), 6))
  y = jax.eval_shape(function, x, kernel)
  of_x = lambda kernel, y: jax.linear_transpose(lambda x: function(x, kernel), x)(y)
  of_kernel = lambda x, y: jax.linear_transpose(lambda kernel: function(x, kernel), kernel)(y)
  for one, *args in ((function, x, kernel), (of_x, kernel, y), (of_kernel, x, y)):
    assert flops.count(one, *args) == jax.jit(one).lower(*args).cost_analysis()['flops']


def test_loops_branches_and_inner_functions():
  square = shapes((4, 4))[0]
  once = 2 * 4**3
  product = jax.jit(lambda x: x @ x)
  assert flops.count(lambda x: jax.lax.scan(lambda c, _: (c @ x, None), x, length=7)[0], square) == 7 * once
  assert flops.count(lambda x: jax.checkpoint(product)(product(x)), square) == 2 * once
  assert flops.count(lambda x: jax.lax.cond(x[0, 0] > 0, product, lambda x: x, x), square) == once
  with pytest.raises(ValueError, match='while loop'):
    flops.count(lambda x: jax.lax.while_loop(lambda c: c[0, 0] > 0, product, x), square)


@pytest.mark.usefixtures('all_platforms')
def test_forms_for_platforms():
  x, kernel = shapes((1, 16, 16, 8), (3, 3, 8, 8))
  mathematics = 2 * 16 * 16 * 9 * 8 * 8  # a transposed convolution: every pixel meets every tap
  assert flops.count(ops.conv_upsample, x, kernel) == mathematics
  assert flops.count(ops.conv_upsample, x, kernel, platform='cpu') == mathematics
  # Folded: four times the channels, 3 * 16 - 2 taps along each axis that meet a pixel.
  assert flops.count(ops.conv_upsample, x, kernel, platform='cuda') == 2 * 46**2 * 8 * 32
  # And a blur of each channel as a product: 17 rows of pairs, three taps of which meet 16 pairs, but one at the border;
  # 2 * (17 + 16) columns of the phases to 2 * 32 of a pair of rows.
  assert flops.count(ops.conv_upsample, x, kernel, platform='tpu') == mathematics + 2 * (3 * 16 - 1) * 66 * 64 * 8


def test_all_devices_count():
  mesh = jax.make_mesh((8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
  spec = jax.sharding.PartitionSpec
  sharded = jax.shard_map(lambda x, y: x @ y, mesh=mesh, in_specs=(spec('data'), spec()), out_specs=spec('data'))
  assert flops.count(sharded, *shapes((16, 4), (4, 4))) == 2 * 16 * 4 * 4


def test_gradients_of_what_is_frozen_do_not_count():
  @jax.custom_vjp
  def product(x, matrix):
    return x @ matrix

  product.defvjp(lambda x, matrix: (x @ matrix, (x, matrix)), lambda kept, y: (y @ kept[1].T, kept[0].T @ y))
  x, matrix = shapes((4, 8), (8, 16))
  chosen = lambda *args: jax.lax.platform_dependent(*args, cpu=product, default=product)
  loss = lambda x, matrix: jnp.sum(jnp.square(chosen(x, matrix)))
  once = 2 * 4 * 8 * 16
  assert flops.count(jax.grad(loss, (0, 1)), x, matrix) == 3 * once
  assert flops.count(jax.grad(loss), x, matrix) == 2 * once
