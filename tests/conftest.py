"""Test-wide settings: eight virtual CPU devices, full float32 precision on every backend."""

import functools
import importlib.metadata
import os
import pathlib
import sys

# Tests, and the processes that they start, build the same small programs again and again; compiled once, they are found
# again by every worker and every later run.
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(pathlib.Path.home() / '.cache' / 'edtalk_jax'))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES', '-1')
# Programs run for milliseconds here and compile for seconds: LLVM's optimisations would double the suite's time.
# The fusion emitters of XLA's CPU backend take most of what is left; XLA ends a process whose flags it does not know.
os.environ.setdefault(
  'XLA_FLAGS',
  '--xla_backend_optimization_level=0'
  + ' --xla_cpu_use_fusion_emitters=false' * importlib.metadata.version('jaxlib').startswith('0.10.'),
)
os.environ['XLA_FLAGS'] += ' --xla_force_host_platform_device_count=8'
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax
import pytest

from edtalk_jax import terminal
from edtalk_jax.ops import backend

jax.config.update('jax_default_matmul_precision', 'highest')
backend.set_target('cpu')  # all forms take two and a half times as long to trace
# What numerical tests miss: arrays of other ranks that happen to broadcast, and random keys that are used twice.
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_debug_key_reuse', True)


def pytest_configure(config):
  """Reads and writes that failed on purpose end whenever they end, in any later test, whose fault they are not."""
  sys.unraisablehook = functools.partial(terminal.without_abandoned_work, sys.unraisablehook)


def pytest_collection_modifyitems(items):
  """Every test is in exactly one tier: `integration`, `release`, or fast without a marker (docs/testing.md)."""
  for item in items:
    if item.get_closest_marker('integration') and item.get_closest_marker('release'):
      raise pytest.UsageError(f'{item.nodeid}: marked integration and release, expected one tier')


@pytest.fixture
def all_platforms():
  """Traces the forms of all platforms, as users do: for tests of programs for another one."""
  with backend.target(None):
    yield


@pytest.fixture(scope='session')
def heads(tmp_path_factory):
  """Records of rendered heads, the smallest with all splits."""
  from data_pipeline.datasets import synthetic
  from data_pipeline.synthetic.clip import Plan

  folder = tmp_path_factory.mktemp('heads') / 'records'
  synthetic.make(Plan(clips=6, size=32, seed=0, people=3, frames=10), str(folder), workers=0)
  return folder
