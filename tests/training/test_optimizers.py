"""Learning rates at chosen steps, and what a larger batch makes of the optimiser's numbers."""

import dataclasses

import numpy as np
import pytest

from edtalk_jax.config import Config, DataConfig, LossConfig, OptimizerConfig, UserError
from edtalk_jax.training import optimizers


def sizes(optimizer, count):
  """Of Adam's first steps under a constant gradient: each is as large as the learning rate."""
  weights = {'kernel': np.ones(3, np.float32)}
  state, found = optimizer.init(weights), []
  for _ in range(count):
    step, state = optimizer.update({'kernel': np.full(3, 2.0, np.float32)}, state, weights)
    found.append(float(-step['kernel'][0]))
  return found


def check_sizes(optimizer, expected):
  np.testing.assert_allclose(sizes(optimizer, len(expected)), expected, rtol=1e-4, atol=1e-7)  # epsilon, float32 betas


def test_learning_rate_decays_to_nothing():
  cosine = [0.4 * (1 + np.cos(np.pi * min(k / 10, 1))) / 2 for k in range(12)]
  check_sizes(optimizers.adam(OptimizerConfig(learning_rate=0.5, decay_steps=10), 4), cosine)


def test_learning_rate_rises_to_its_full_size():
  check_sizes(optimizers.adam(OptimizerConfig(learning_rate=0.5, warmup_steps=4), 4), [0.1, 0.2, 0.3, 0.4, 0.4])
  check_sizes(optimizers.adam(OptimizerConfig(learning_rate=0.5, warmup_steps=1), 4), [0.4, 0.4])
  both = OptimizerConfig(learning_rate=0.5, warmup_steps=2, decay_steps=4)
  check_sizes(optimizers.adam(both, 4), [0.2, 0.2 * (1 + np.cos(np.pi / 4)), 0.2, 0.2 * (1 - np.cos(np.pi / 4)), 0])


@pytest.mark.parametrize('n', [1, 4, 16])
def test_updates_of_a_regulariser_do_not_hurry_the_schedule(n):
  """Adam counts them; the learning rate is that of the step."""
  rate, count = optimizers.schedule(1.0, 0, 100, regularise_every=n), 0
  for step in range(40):
    updates = 2 if step % n == 0 else 1
    for _ in range(updates):
      np.testing.assert_allclose(rate(count), (1 + np.cos(np.pi * step / 100)) / 2, rtol=1e-5)
      count += 1


def config(batch=128, r1=0.0, **optimizer):
  return Config(data=DataConfig(batch_size=batch), loss=LossConfig(r1=r1), optimizer=OptimizerConfig(**optimizer))


@pytest.mark.parametrize(('rule', 'size'), [('none', 1), ('linear', 16), ('sqrt', 4)])
def test_learning_rate_follows_the_batch(rule, size):
  found = optimizers.both(config(learning_rate=0.5, scale_rule=rule, base_batch=8))
  check_sizes(found['model_optimizer'], [0.4 * size] * 3)
  check_sizes(found['discriminator_optimizer'], [0.5 * 16 / 17 * size] * 3)


def test_the_square_root_rule_shortens_the_memory_with_the_batch():
  """After as many examples, moments have forgotten as much: 1 - beta grows with the batch (Malladi et al., 2022)."""
  rate, beta1, beta2, epsilon = optimizers.scaled('sqrt', 4.0, 1.0, 0.9, 0.99, 1e-8)
  np.testing.assert_allclose([rate, beta1, beta2, epsilon], [2, 0.6, 0.96, 5e-9])
  assert optimizers.scaled('sqrt', 20.0, 1.0, 0.9, 0.99, 1e-8)[1] == 0
  assert optimizers.scaled('sqrt', 0.25, 1.0, 0.0, 0.99, 1e-8)[1] == 0
  np.testing.assert_allclose(optimizers.scaled('linear', 4.0, 1.0, 0.9, 0.99, 1e-8), [4, 0.9, 0.99, 1e-8])


def test_a_batch_beyond_the_rule_is_one_clear_line():
  with pytest.raises(
    UserError,
    match=r'scale_rule=sqrt: a batch 128 times optimizer\.base_batch leaves no beta2; .* '
    r'less than 106 times|less than 125 times',
  ):
    optimizers.both(config(scale_rule='sqrt', base_batch=1))
  with pytest.raises(ValueError, match=r'optimizer\.base_batch must be positive with optimizer\.scale_rule=linear'):
    config(scale_rule='linear')


def test_defaults_are_the_references():
  plain = dataclasses.replace(OptimizerConfig(), learning_rate=0.002)
  check_sizes(optimizers.both(Config(optimizer=plain))['model_optimizer'], [0.0016] * 2)
