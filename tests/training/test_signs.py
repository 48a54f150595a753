"""Which way logits, clipped gradients and remaining time go."""

import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax.config import OptimizerConfig
from edtalk_jax.stages import losses
from edtalk_jax.training import metrics, optimizers


def test_the_generator_wants_high_logits_of_fakes_and_the_discriminator_low_ones():
  high, low = jnp.full((2, 3), 30.0), jnp.full((2, 3), -30.0)
  np.testing.assert_allclose(losses.generator_adversarial(high), 0, atol=1e-6)
  np.testing.assert_allclose(losses.generator_adversarial(low), 30, rtol=1e-6)
  real, fake = losses.discriminator_adversarial(high, low)
  np.testing.assert_allclose([*real, *fake], 0, atol=1e-6)
  real, fake = losses.discriminator_adversarial(low, high)
  np.testing.assert_allclose([*real, *fake], 30, rtol=1e-6)


def test_gradients_are_shortened_before_adam_sees_them():
  start = {'a': jnp.zeros(1), 'b': jnp.zeros(1)}

  def updates(clip, *gradient):
    # A large epsilon makes the update linear in the gradient.
    adam = optimizers.adam(OptimizerConfig(epsilon=100.0, clip=clip), 4)
    return adam.update(dict(zip(start, map(jnp.atleast_1d, gradient), strict=True)), adam.init(start), start)[0]

  for gradient, shortened in (((30.0, 40.0), (3.0, 4.0)), ((0.3, 0.4), (0.3, 0.4))):
    clipped, plain = updates(5.0, *gradient), updates(0.0, *shortened)
    np.testing.assert_allclose([*clipped['a'], *clipped['b']], [*plain['a'], *plain['b']], rtol=1e-5)


@pytest.mark.parametrize('step, left', [(0, '1m20s'), (50, '40s'), (99, '1s'), (100, '0s')])
def test_the_progress_line_says_how_long_the_rest_takes(step, left):
  line = metrics.progress_line(step, 100, rate=10.0, batch_size=8, values={'l1': 0.5, 'loss': 0.25})
  assert line == f'step {step}/100  10.0 examples/s  ETA {left}  loss 0.25  l1 0.5'


@pytest.mark.parametrize(
  'seconds, text', [(7, '7s'), (306, '5m06s'), (11040, '3h04m'), (93600, '1d02h'), (float('inf'), '?')]
)
def test_durations_are_short(seconds, text):
  assert metrics.duration(seconds) == text
