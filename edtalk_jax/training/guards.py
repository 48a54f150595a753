"""What keeps one bad batch from ruining a run: the skipped update, on the device, and the loss spike, on the host."""

import collections
import math
import statistics
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from edtalk_jax.training.state import TrainState

WATCHED = ('loss', 'discriminator_loss', 'grad_norm/model', 'grad_norm/discriminator')  # and every other grad_norm
SKIPS = ('guard/skipped', 'guard/skipped_in_row')  # metrics that `skip_unless_finite` adds
_DEVIATION = 1.4826  # of a normal distribution, in median absolute deviations
_FEWEST = 20  # losses before one can be called a spike


def skip_unless_finite(
  old: TrainState, new: TrainState, metrics: Mapping[str, jax.Array]
) -> tuple[TrainState, dict[str, jax.Array]]:
  """Returns `new`, or `old` one step later if a loss or a gradient of the step between them is not finite.

  Both networks and both optimisers' moments are kept or replaced together: a discriminator that goes on while the
  generator stands still would be another training. The step number advances all the same, since it is the data
  position. A norm is finite only if every gradient is; one that overflows counts as not finite.

  The choice is elementwise, so that XLA makes it inside the loops that update the parameters and donated buffers are
  written in place. The scalars are reduced over the global batch: every device of a mesh decides alike. (Ours;
  PyTorch's GradScaler skips likewise, `optax.apply_if_finite` for one optimiser alone.)

  Args:
    old: the state before the step.
    new: the state after it.
    metrics: scalars of the step by name, with those in `WATCHED` that the stage has; gradient norms of regularisers
      count too.

  Returns:
    The state, and float32 scalars by the names in `SKIPS`: updates skipped since the run began, and of these how many
    without an update in between, up to this step; 0 if this step's was made.
  """
  watched = [name for name in metrics if name in WATCHED or name.startswith('grad_norm/')]
  finite = jnp.all(jnp.isfinite(jnp.stack([metrics[name] for name in watched])))
  kept = jax.tree.map(lambda after, before: jnp.where(finite, after, before), new, old)
  total = old.skipped + jnp.where(finite, 0, 1)
  in_row = jnp.where(finite, 0, old.skipped_in_row + 1)
  state = kept.replace(step=new.step, skipped=total, skipped_in_row=in_row)
  return state, {name: count.astype(jnp.float32) for name, count in zip(SKIPS, (total, in_row), strict=True)}


def all_finite(state: TrainState) -> jax.Array:
  """Whether every number of a state is finite: a bool scalar."""
  return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(state)]))


class Spikes:
  """Tells losses that stand out from those before them. It only watches: nothing of the run depends on it.

  A loss is a spike if it exceeds the median of the last ones by more than `factor` standard deviations, estimated from
  the median absolute deviation, so that one spike does not hide the next. GAN losses fall and wander slowly compared to
  the window; a jump that lasts is reported once, when it begins.
  """

  def __init__(self, factor: float, window: int):
    """Watches nothing if `factor` is 0; `window` is in steps."""
    self._factor, self._last, self._high = factor, collections.deque[float](maxlen=window), False

  def sees(self, loss: float) -> float | None:
    """Takes the next step's loss; returns the median of those before if a spike begins here, else None.

    A loss that is not finite is not a spike but a skipped update, and is not remembered.
    """
    if not self._factor or not math.isfinite(loss):
      return None
    was_high, self._high, median = self._high, False, 0.0
    if len(self._last) >= min(_FEWEST, self._last.maxlen):
      median = statistics.median(self._last)
      spread = _DEVIATION * statistics.median(abs(value - median) for value in self._last)
      # Losses that stand still would make any change a spike.
      self._high = loss - median > self._factor * max(spread, 1e-3 * abs(median))
    self._last.append(loss)
    return median if self._high and not was_high else None
