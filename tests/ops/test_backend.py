"""The form of an operation that is traced is that of the target platform."""

import jax
import jax.numpy as jnp
import pytest

from edtalk_jax.ops import backend


def _select(x):
  return backend.select(x, tpu=lambda x: x + 1, cpu=lambda x: x + 2, default=lambda x: x + 3)


@pytest.mark.parametrize(('platform', 'added'), [('tpu', 1), ('cpu', 2), ('cuda', 3)])
def test_a_target_traces_its_own_form_alone(platform, added):
  function = jax.jit(_select)
  with backend.target('cpu'):
    assert function(jnp.float32(0)) == 2
    with backend.target(platform):
      assert function(jnp.float32(0)) == added  # not what was traced before
      assert len(jax.make_jaxpr(function)(0.0).jaxpr.eqns[0].params['jaxpr'].jaxpr.eqns) == 1
    assert function(jnp.float32(0)) == 2


def test_without_a_target_the_compiler_takes_the_form_of_its_platform():
  with backend.target(None):
    function = jax.jit(_select)
    assert function(jnp.float32(0)) == 2
    texts = {
      platform: function.trace(jnp.float32(0)).lower(lowering_platforms=(platform,)).as_text()
      for platform in ('tpu', 'cpu', 'cuda')
    }
  assert len({*texts.values()}) == 3
