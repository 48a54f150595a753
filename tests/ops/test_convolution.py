import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import ops
from edtalk_jax.ops import convolution, kernel_gradient, strided

# Both sides add the same products in another order; a few hundred terms of unit size in float32.
CLOSE = {'rtol': 1e-4, 'atol': 1e-4}


def _normal(seed, *shape):
  return jax.random.normal(jax.random.key(seed), shape)


def _assert_same_with_gradients(first, second, *args):
  """Equal outputs, vector-Jacobian products and gradients of those (R1 regularisation differentiates twice)."""
  def everything(f, *args):
    out, pull_back = jax.vjp(f, *args)
    penalty = jax.grad(lambda *args: jnp.sum(jax.grad(lambda x: jnp.sum(jnp.tanh(f(x, *args[1:]))))(args[0]) ** 2),
                       tuple(range(len(args))))
    return out, pull_back(jnp.cos(jnp.arange(out.size).reshape(out.shape).astype(out.dtype))), penalty(*args)

  results = [jax.jit(everything, static_argnums=0)(f, *args) for f in (first, second)]
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), *results)


@pytest.mark.parametrize('side', [1, 3])
def test_both_forms_of_downsampling_agree(side):
  _assert_same_with_gradients(convolution.downsample_separately, convolution.downsample_folded,
                              _normal(0, 2, 8, 12, 3), _normal(1, side, side, 3, 5))


def test_both_forms_of_upsampling_agree():
  _assert_same_with_gradients(convolution.upsample_separately, convolution.upsample_folded,
                              _normal(0, 2, 4, 5, 3), _normal(1, 3, 3, 3, 2))


def test_plain_convolution_by_products_agrees_with_xla():
  _assert_same_with_gradients(convolution.same_conv_by_products, convolution.same_conv,
                              _normal(0, 2, 6, 5, 3), _normal(1, 3, 3, 3, 4))


def test_strided_convolution_agrees_with_xla():
  reference = lambda x, kernel: jax.lax.conv_general_dilated(
    x, kernel, (2, 2), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
  _assert_same_with_gradients(strided.strided_conv, reference, _normal(0, 2, 9, 7, 3), _normal(1, 3, 3, 3, 4))


@pytest.mark.parametrize('stride', [1, 2])
def test_kernel_gradient_in_bands_equals_a_single_product(stride, monkeypatch):
  x = _normal(0, 2, 6 * stride + 3 - stride, 4 * stride + 3 - stride, 3)
  cotangent = _normal(1, 2, 6, 4, 5)
  whole = kernel_gradient.kernel_gradient(x, cotangent, 3, stride)
  monkeypatch.setattr(kernel_gradient, '_LOOP_WORK', 0)
  monkeypatch.setattr(kernel_gradient, '_BAND_SIZE', 4 * 9 * 3 * 4)  # four rows fit, three divide the height
  bands = kernel_gradient.kernel_gradient(x, cotangent, 3, stride)
  np.testing.assert_allclose(bands, whole, **CLOSE)


def test_accelerators_get_neither_dilation_nor_loops_for_upsampling():
  args = _normal(0, 1, 4, 4, 3), _normal(1, 3, 3, 3, 2)
  text = jax.jit(ops.conv_upsample).trace(*args).lower(lowering_platforms=('tpu',)).as_text()
  assert text.count('stablehlo.convolution') == 1
  assert 'lhs_dilate = [2' not in text


@pytest.mark.parametrize('upsample', [False, True])
def test_modulated_conv_equals_one_kernel_per_sample(upsample):
  x, kernel, style = _normal(0, 2, 5, 5, 3), _normal(1, 3, 3, 3, 4), _normal(2, 2, 3)
  got = ops.modulated_conv(x, kernel, style, upsample=upsample)
  for sample in range(2):
    own = kernel * style[sample, :, None]
    own *= jax.lax.rsqrt(jnp.sum(own**2, (0, 1, 2)) + 1e-8)
    want = (ops.conv_upsample if upsample else ops.conv)(x[sample:sample + 1], own)
    np.testing.assert_allclose(got[sample:sample + 1], want, **CLOSE)


def test_modulated_conv_ignores_the_scale_of_the_style():
  x, kernel, style = _normal(0, 2, 4, 4, 3), _normal(1, 3, 3, 3, 4), _normal(2, 2, 3)
  np.testing.assert_allclose(
    ops.modulated_conv(x, kernel, style), ops.modulated_conv(x, kernel, 7 * style), **CLOSE)


@pytest.mark.parametrize('function', [ops.conv, ops.conv_downsample, ops.conv_upsample])
def test_bfloat16_stays_bfloat16(function):
  x, kernel = _normal(0, 1, 8, 8, 4), _normal(1, 3, 3, 4, 4)
  low = function(x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16))
  assert low.dtype == jnp.bfloat16
  # Eight bits of mantissa, 36 terms of unit size.
  np.testing.assert_allclose(low.astype(jnp.float32), function(x, kernel), atol=0.2)


def test_wrong_shapes_are_named():
  with pytest.raises(ValueError, match='height and width of x must be even'):
    ops.conv_downsample(jnp.zeros((1, 5, 4, 2)), jnp.zeros((3, 3, 2, 2)))
  with pytest.raises(ValueError, match='kernel must be 3 x 3'):
    ops.conv_upsample(jnp.zeros((1, 4, 4, 2)), jnp.zeros((1, 1, 2, 2)))
  with pytest.raises(ValueError, match='style must have shape'):
    ops.modulated_conv(jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 2, 2)), jnp.zeros((1, 3)))
