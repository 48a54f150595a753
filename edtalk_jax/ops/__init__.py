"""Pure array functions: images are NHWC, kernels HWIO; nothing here knows of networks or configurations."""

from edtalk_jax.ops.activation import leaky_relu_scaled as leaky_relu_scaled
from edtalk_jax.ops.convolution import CONV as CONV
from edtalk_jax.ops.convolution import conv as conv
from edtalk_jax.ops.convolution import conv_downsample as conv_downsample
from edtalk_jax.ops.convolution import conv_upsample as conv_upsample
from edtalk_jax.ops.convolution import modulated_conv as modulated_conv
from edtalk_jax.ops.crop import crop as crop
from edtalk_jax.ops.normalization import batch_norm as batch_norm
from edtalk_jax.ops.normalization import batch_statistics as batch_statistics
from edtalk_jax.ops.normalization import instance_norm as instance_norm
from edtalk_jax.ops.normalization import minibatch_stddev as minibatch_stddev
from edtalk_jax.ops.normalization import stddev_group_size as stddev_group_size
from edtalk_jax.ops.orthonormal import householder_signs as householder_signs
from edtalk_jax.ops.orthonormal import orthonormal_basis as orthonormal_basis
from edtalk_jax.ops.partition import split_rows as split_rows
from edtalk_jax.ops.pooling import max_pool as max_pool
from edtalk_jax.ops.resample import antialias_downsample as antialias_downsample
from edtalk_jax.ops.resample import blur as blur
from edtalk_jax.ops.resample import pyramid as pyramid
from edtalk_jax.ops.resample import upsample as upsample
from edtalk_jax.ops.warp import base_grid as base_grid
from edtalk_jax.ops.warp import grid_sample as grid_sample
from edtalk_jax.ops.warp import warp as warp
