"""Equalised layers keep their weights at unit scale and activations too."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import ops
from edtalk_jax.networks.discriminator import Discriminator
from edtalk_jax.networks.encoder import Encoder
from edtalk_jax.networks.layers import EqualConv, EqualDense, ResBlock, rounded
from tests.networks.tiny import CONFIG as TINY


def test_weights_are_stored_at_unit_scale_and_applied_scaled():
  x = jax.random.normal(jax.random.key(0), (64, 256))
  y, variables = EqualDense(256).init_with_output(jax.random.key(1), x)
  # 65536 draws: the standard errors are 0.003 and 0.005.
  np.testing.assert_allclose([variables['params']['kernel'].std(), y.std()], 1, atol=0.03)


def test_gradient_of_a_stored_weight_is_scaled_once_more():
  x = jnp.ones((1, 4))
  variables = EqualDense(1).init(jax.random.key(0), x)
  gradient = jax.grad(lambda v: EqualDense(1).apply(v, x).sum())(variables)
  np.testing.assert_allclose(gradient['params']['kernel'], 1 / 2, rtol=1e-6)  # 1 / sqrt(4 inputs)


@pytest.mark.parametrize('downsample', [False, True])
def test_conv_shapes(downsample):
  y = EqualConv(5, downsample=downsample).init_with_output(jax.random.key(0), jnp.zeros((2, 8, 8, 3)))[0]
  assert y.shape == ((2, 4, 4, 5) if downsample else (2, 8, 8, 5))


def test_halving_an_odd_width_is_an_error():
  with pytest.raises(ValueError, match='must be even to be halved'):
    EqualConv(8, downsample=True).init(jax.random.key(0), jnp.zeros((1, 4, 5, 8)))


def test_linear_conv_has_no_bias():
  variables = EqualConv(5, activate=False).init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
  assert set(variables['params']) == {'kernel'}


def test_residual_block_keeps_the_scale():
  x = jax.random.normal(jax.random.key(0), (2, 32, 32, 32))
  x = jax.image.resize(x[:, ::8, ::8], x.shape, 'linear')  # smooth, so that the blur takes little away
  y = jax.jit(ResBlock(32).init_with_output)(jax.random.key(1), x)[0]
  assert y.shape == (2, 16, 16, 32) and 0.5 < float(y.std() / x.std()) < 2


@pytest.mark.parametrize('network', [Encoder, Discriminator])
def test_the_first_block_is_the_same_where_every_layer_is_asked_for(network):
  images = jax.random.uniform(jax.random.key(1), (2, 16, 16, 3), minval=-1)
  assert ops.first_block_pays(images, TINY.channels(16))  # the other way is not this one
  variables = jax.jit(network(TINY).init)(jax.random.key(0), images)
  got = jax.jit(network(TINY).apply)(variables, images)
  want, state = jax.jit(
    lambda *args: network(TINY).apply(*args, mutable=['intermediates'], capture_intermediates=True)
  )(variables, images)
  assert 'block_8' in state['intermediates']
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got, want)


@pytest.mark.parametrize('remat', ['none', 'convs', 'blocks'])
def test_gradients_of_two_calls_with_rounded_kernels_are_those_of_two_calls(remat):
  config = dataclasses.replace(TINY, dtype='bfloat16', remat=remat)
  images = jax.random.uniform(jax.random.key(1), (2, 2, 16, 16, 3), minval=-1)
  network = Encoder(config)
  params = jax.jit(network.init)(jax.random.key(0), images[0])['params']
  code = lambda params, images: network.apply({'params': params}, images)[0]
  loss = lambda params: jnp.sum(jnp.sin(code(params, images[0]) + code(params, images[1])))
  with_rounded = jax.grad(lambda params: loss(rounded(params, config.dtype)))
  got, want = (jax.jit(gradient)(params) for gradient in (with_rounded, jax.grad(loss)))
  # One more rounding to bfloat16, where the two gradients are added up.
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2**-7 * float(jnp.max(jnp.abs(b)))), got, want)
  # They are: what comes out is one conversion of the sum.
  *_, last = jax.make_jaxpr(lambda params: with_rounded(params)['block_4']['conv_0']['kernel'])(params).jaxpr.eqns
  assert last.primitive.name == 'convert_element_type' and last.invars[0].aval.dtype == jnp.bfloat16


def test_what_is_computed_in_float32_is_not_rounded():
  images = jnp.zeros((1, 16, 16, 3))
  networks = {'encoder': Encoder(TINY), 'discriminator': Discriminator(TINY)}
  as_rounded = lambda network: rounded(network.init(jax.random.key(0), images)['params'], 'bfloat16')
  shapes = {name: jax.eval_shape(lambda network=network: as_rounded(network)) for name, network in networks.items()}
  types = jax.tree.map(lambda leaf: leaf.dtype, shapes)
  assert types['encoder']['stem'] == {'kernel': jnp.bfloat16, 'bias': jnp.float32}
  assert types['encoder']['block_8']['skip']['kernel'] == jnp.bfloat16
  assert types['encoder']['code']['kernel'] == types['discriminator']['hidden']['kernel'] == jnp.float32
