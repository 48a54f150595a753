import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import ops
from edtalk_jax.ops import bands, convolution, kernel_gradient, lanes, phases, strided, tpu_forms
from tests.ops.agreement import CLOSE
from tests.ops.agreement import assert_same_with_gradients as _assert_same_with_gradients
from tests.ops.agreement import normal as _normal


@pytest.mark.parametrize('side', [1, 3])
@pytest.mark.parametrize('form', [convolution.downsample_folded, tpu_forms.downsample])
def test_forms_of_downsampling_agree(form, side):
  _assert_same_with_gradients(
    convolution.downsample_separately, form, _normal(0, 2, 8, 12, 3), _normal(1, side, side, 3, 5)
  )


@pytest.mark.parametrize('form', [convolution.upsample_folded, tpu_forms.upsample])
def test_forms_of_upsampling_agree(form):
  _assert_same_with_gradients(convolution.upsample_separately, form, _normal(0, 2, 4, 5, 3), _normal(1, 3, 3, 3, 2))


def test_wide_maps_are_filtered_channel_by_channel():
  """Maps too wide for `ops.bands` have other forms."""
  width = bands.WIDEST + 2
  _assert_same_with_gradients(
    convolution.downsample_separately, tpu_forms.downsample, _normal(0, 1, 4, width, 3), _normal(1, 3, 3, 3, 5)
  )
  _assert_same_with_gradients(
    convolution.upsample_separately, tpu_forms.upsample, _normal(0, 1, 3, width // 2, 3), _normal(1, 3, 3, 3, 2)
  )


@pytest.mark.parametrize(
  'strides, padding, sides',
  [
    ((2, 2), ((0, 0), (0, 1)), (3, 3)),
    ((1, 1), ((1, 1), (1, 1)), (3, 3)),
    ((2, 1), ((2, 2), (1, 1)), (6, 3)),
    ((2, 2), ((1, 1), (0, 2)), (4, 4)),
  ],
)
def test_strided_convolution_by_phases_agrees_with_xla(strides, padding, sides):
  _assert_same_with_gradients(
    lambda x, kernel: phases.strided_conv(x, kernel, strides, padding),
    lambda x, kernel: phases.strided_conv.fun(x, kernel, strides, padding),
    _normal(0, 2, 9, 6, 3),
    _normal(1, *sides, 3, 4),
  )


def _apart(function, columns):
  return lambda x, kernel: function(lanes.split_columns(x, columns), kernel)


@pytest.mark.parametrize('side, columns', [(1, 2), (1, 16), (3, 2), (3, 4)])
def test_columns_side_by_side_are_convolved_as_columns(side, columns):
  x, kernel = lanes.join_columns(_normal(0, 1, 2, 2 * columns, 3), columns), _normal(1, side, side, 3, 5)
  _assert_same_with_gradients(
    lambda *args: tpu_forms.conv_columns(*args, columns),
    lambda *args: lanes.join_columns(_apart(ops.conv, columns)(*args), columns),
    x,
    kernel,
  )


@pytest.mark.parametrize('side', [1, 3])
def test_pairs_of_columns_are_downsampled_as_columns(side):
  x, kernel = lanes.join_columns(_normal(0, 2, 4, 6, 3), 2), _normal(1, side, side, 3, 5)
  _assert_same_with_gradients(tpu_forms.downsample_pairs, _apart(convolution.downsample_separately, 2), x, kernel)


@pytest.mark.parametrize('channels, features', [(2, 5), (5, 2)])
def test_pointwise_products_agree_with_their_gradients(channels, features):
  _assert_same_with_gradients(
    tpu_forms.pointwise, jnp.matmul, _normal(0, 2, 4, 6, channels), _normal(1, channels, features)
  )


def test_upsampling_to_pairs_of_columns():
  _assert_same_with_gradients(
    tpu_forms.upsample_pairs,
    lambda *args: lanes.join_columns(convolution.upsample_separately(*args), 2),
    _normal(0, 2, 4, 5, 3),
    _normal(1, 3, 3, 3, 2),
  )


def test_plain_convolution_by_products_agrees_with_xla():
  _assert_same_with_gradients(
    convolution.same_conv_by_products, convolution.same_conv, _normal(0, 2, 6, 5, 3), _normal(1, 3, 3, 3, 4)
  )


def test_strided_convolution_agrees_with_xla():
  reference = lambda x, kernel: jax.lax.conv_general_dilated(
    x, kernel, (2, 2), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )
  _assert_same_with_gradients(strided.strided_conv, reference, _normal(0, 2, 9, 7, 3), _normal(1, 3, 3, 3, 4))


@pytest.mark.parametrize('stride', [1, 2])
def test_kernel_gradient_in_bands_equals_a_single_product(stride):
  x = _normal(0, 2, 6 * stride + 3 - stride, 4 * stride + 3 - stride, 3)
  cotangent = _normal(1, 2, 6, 4, 5)
  whole = kernel_gradient.kernel_gradient(x, cotangent, 3, stride)
  four_rows = 4 * 9 * 3 * 4  # of which three divide the height
  bands = jax.jit(kernel_gradient.kernel_gradient, static_argnums=(2, 3), static_argnames=('band_size', 'loop_work'))(
    x, cotangent, 3, stride, band_size=four_rows, loop_work=0
  )
  np.testing.assert_allclose(bands, whole, **CLOSE)


@pytest.mark.usefixtures('all_platforms')
@pytest.mark.parametrize('function', [ops.conv_upsample, ops.conv_downsample])
def test_tpus_multiply_no_zeros_forwards_or_backwards(function):
  x, kernel = _normal(0, 1, 8, 8, 3), _normal(1, 3, 3, 3, 2)
  gradients = jax.grad(lambda *args: jnp.sum(function(*args)), (0, 1))
  text = jax.jit(gradients).trace(x, kernel).lower(lowering_platforms=('tpu',)).as_text()
  assert 'stablehlo.convolution' in text
  assert 'lhs_dilate = [2' not in text


@pytest.mark.parametrize('upsample', [False, True])
def test_modulated_conv_equals_one_kernel_per_sample(upsample):
  x, kernel, style = _normal(0, 2, 5, 5, 3), _normal(1, 3, 3, 3, 4), _normal(2, 2, 3)
  got = jax.jit(functools.partial(ops.modulated_conv, scale=1e-4, upsample=upsample))(x, kernel, style)

  @jax.jit
  def alone(x, style):
    own = 1e-4 * kernel * style[None, None, :, None]  # so small that what is added to the norm counts
    own *= jax.lax.rsqrt(jnp.sum(own**2, (0, 1, 2), keepdims=True) + 1e-8)
    return 4 * ops.conv_upsample(x[None], own)[0] if upsample else ops.conv(x[None], own)[0]

  for sample in range(2):
    np.testing.assert_allclose(got[sample], alone(x[sample], style[sample]), **CLOSE)


def test_modulated_conv_ignores_the_scale_of_the_style():
  x, kernel, style = _normal(0, 2, 4, 4, 3), _normal(1, 3, 3, 3, 4), _normal(2, 2, 3)
  convolve = jax.jit(ops.modulated_conv)
  np.testing.assert_allclose(convolve(x, kernel, style), convolve(x, kernel, 7 * style), **CLOSE)


@pytest.mark.parametrize('function', [ops.conv, ops.conv_downsample, ops.conv_upsample])
def test_bfloat16_stays_bfloat16(function):
  x, kernel = _normal(0, 1, 8, 8, 4), _normal(1, 3, 3, 4, 4)
  function = jax.jit(function)
  low = function(x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16))
  assert low.dtype == jnp.bfloat16
  # Eight bits of mantissa, 36 terms of unit size.
  np.testing.assert_allclose(low.astype(jnp.float32), function(x, kernel), atol=0.2)


def test_wrong_shapes_are_named():
  with pytest.raises(ValueError, match='height and width of x must be even'):
    ops.conv_downsample(jnp.zeros((1, 5, 4, 2)), jnp.zeros((3, 3, 2, 2)))
  with pytest.raises(ValueError, match='kernel must be 3 x 3'):
    ops.conv_upsample(jnp.zeros((1, 4, 4, 2)), jnp.zeros((1, 1, 2, 2)))
  for function in (ops.conv_downsample, ops.conv_upsample, ops.conv_max_pool):
    with pytest.raises(ValueError, match='columns must be 1 or 2, got 4'):
      function(jnp.zeros((1, 4, 4, 8)), jnp.zeros((3, 3, 2, 2)), columns=4)
  with pytest.raises(ValueError, match='style must have shape'):
    ops.modulated_conv(jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 2, 2)), jnp.zeros((1, 3)))
