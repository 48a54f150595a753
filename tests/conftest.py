"""Test-wide settings: eight virtual CPU devices, full float32 precision on every backend."""

import functools
import os
import sys
import tempfile

# Tests build the same small programs again and again; compiled once, they are found again.
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', os.path.join(tempfile.gettempdir(), f'edtalk_jax_{os.getuid()}'))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.5')
# Programs run for milliseconds here and compile for seconds: LLVM's optimisations would double the suite's time.
os.environ.setdefault('XLA_FLAGS', '--xla_backend_optimization_level=0')
os.environ['XLA_FLAGS'] += ' --xla_force_host_platform_device_count=8'
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax

from edtalk_jax import terminal

jax.config.update('jax_default_matmul_precision', 'highest')


def pytest_configure(config):
  """Reads and writes that failed on purpose end whenever they end, in any later test, whose fault they are not."""
  sys.unraisablehook = functools.partial(terminal.without_abandoned_work, sys.unraisablehook)
