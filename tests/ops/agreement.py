"""What forms of the same operation must agree in."""

import jax
import jax.numpy as jnp
import numpy as np

# Both sides add the same products in another order; a few hundred terms of unit size in float32.
CLOSE = {'rtol': 1e-4, 'atol': 1e-4}


def normal(seed, *shape):
  """Seeded numbers of unit size."""
  return jax.random.normal(jax.random.key(seed), shape)


def assert_same_with_gradients(first, second, *args):
  """Equal outputs, vector-Jacobian products and gradients of those (R1 regularisation differentiates twice)."""

  def everything(f, *args):
    out, pull_back = jax.vjp(f, *args)
    penalty = jax.grad(
      lambda *args: jnp.sum(jax.grad(lambda x: jnp.sum(jnp.tanh(f(x, *args[1:]))))(args[0]) ** 2),
      tuple(range(len(args))),
    )
    return out, pull_back(jnp.cos(jnp.arange(out.size).reshape(out.shape).astype(out.dtype))), penalty(*args)

  results = [jax.jit(everything, static_argnums=0)(f, *args) for f in (first, second)]
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), *results)
