"""An exponential moving average of the generator side's parameters, smoother than the parameters themselves."""

from typing import Any

import jax
import jax.numpy as jnp

# While a run is young, its average is over the last twentieth of it, or it would be of the random start for long
# (StyleGAN2-ADA's `ema_rampup`; Karras et al., 2020).
RAMP = 0.05


def update(average: Any, params: Any, step: jax.Array, *, batch_size: int, half_life: float) -> Any:
  """Returns decay * average + (1 - decay) * params, decay = 0.5 ** (batch_size / examples).

  `examples` is the half-life: that of the run, or RAMP of the examples seen if these are fewer. Counted in examples, it
  does not depend on the batch (StyleGAN2 has 10 000).

  Args:
    average: of the parameters before this step.
    params: after it.
    step: steps made, this one included.
    batch_size: examples a step.
    half_life: in examples.
  """
  seen = step.astype(jnp.float32) * batch_size
  decay = jnp.exp2(-batch_size / jnp.minimum(half_life, RAMP * seen))
  # In this form, parameters that do not move, as of frozen parts, are their own average to the last bit.
  return jax.tree.map(lambda old, new: new + decay * (old - new), average, params)
