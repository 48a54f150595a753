"""Test-wide settings: eight virtual CPU devices, full float32 precision on every backend."""

import os

os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax

jax.config.update('jax_default_matmul_precision', 'highest')
