"""Switches that trade precision or memory: bfloat16 computes about the same, rematerialisation computes the same."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from edtalk_jax import stages
from edtalk_jax.config import LossConfig, OptimizerConfig
from edtalk_jax.training import optimizers, step
from edtalk_jax.training import state as state_lib
from tests import compiled, tiny

# Momentum, small flows and a strong L1, unlike the official settings, which learn little in a few steps.
SETTINGS = OptimizerConfig(learning_rate=0.003, beta1=0.5)
OPTIMIZERS = {
  'model_optimizer': optimizers.adam(SETTINGS, 4),
  'discriminator_optimizer': optimizers.adam(SETTINGS, 16),
}


def configuration(**model):
  config = tiny.config('reconstruction', flow_init=0.05, **model)
  return dataclasses.replace(config, loss=LossConfig(l1=20, adversarial=0.1))


@functools.cache
def arguments():
  """(state, frozen parameters, batch) of the first step; no switch changes them."""
  config = configuration()
  stage, batch = stages.build(config), tiny.batch(config)
  batch['target'] = batch['source']  # colours come from the source, so that others could not be learnt
  return state_lib.create(compiled.params(config), stage.trainable, **OPTIMIZERS), compiled.frozen(config), batch


@functools.cache
def traced(**model):
  """One step, (state, frozen, batch) -> (next state, gradients), of a model with these switches."""
  stage = stages.build(configuration(**model))

  def one_step(state, frozen, batch):
    found = step.gradients(state.model, state.discriminator, frozen, batch, stage=stage)
    return step.apply_gradients(state, found, stage=stage, **OPTIMIZERS), found

  return jax.jit(one_step).trace(*arguments())


@functools.cache
def update(**model):
  """`traced`, compiled."""
  return traced(**model).lower().compile()


@functools.cache
def first_update(**model):
  """The gradients of the first step, as host arrays."""
  return jax.device_get(update(**model)(*arguments())[1])


def summed_in_bfloat16(jaxpr) -> list[str]:
  """The operations of a program that add up bfloat16 numbers, other than products on matrix units."""
  found = []
  for equation in jaxpr.eqns:
    if equation.primitive.name in ('reduce_sum', 'cumsum') and equation.invars[0].aval.dtype == jnp.bfloat16:
      found.append(f'{equation.source_info.name_stack}: {equation}')
    for inner in jaxprs_in_params(equation.params):
      found += summed_in_bfloat16(inner)
  return found


def norm(tree) -> float:
  return np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(tree)))


def cosine(a, b) -> float:
  return sum(np.sum(a[path] * b[path]) for path in b) / (norm(a) * norm(b))


@pytest.mark.integration
def test_nothing_is_summed_in_bfloat16():
  """Sums over pixels or channels, such as the gradients of biases, styles and flow, would lose small terms."""
  assert summed_in_bfloat16(traced(dtype='bfloat16').jaxpr.jaxpr) == []


def test_sums_in_bfloat16_are_found():
  x = jnp.ones(4, jnp.bfloat16)
  program = jax.jit(jax.grad(lambda bias: jnp.sum((x + bias.astype(x.dtype)).astype(jnp.float32)))).trace(1.0)
  assert len(summed_in_bfloat16(program.jaxpr.jaxpr)) == 1


@pytest.mark.integration
def test_bfloat16_takes_about_the_same_step():
  exact, low = first_update(), first_update(dtype='bfloat16')
  assert {leaf.dtype for leaf in jax.tree.leaves(low)} == {np.dtype('float32')}
  for name, value in exact.metrics.items():
    # Each convolution rounds to 8 bits, 0.4 %. Losses are means over pixels, which hides most of it (measured: 0.1 %);
    # gradients are not (measured: 0.8 %).
    np.testing.assert_allclose(low.metrics[name], value, rtol=0.03 if 'grad' in name else 0.005, err_msg=name)
  # Measured: 0.9986 both. With large flows, whose gradients depend on the very position: 0.996 and 0.987.
  assert cosine(low.discriminator, exact.discriminator) > 0.99
  assert cosine(low.model, exact.model) > 0.99


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_a_few_steps_learn_the_batch(dtype):
  step_of, (state, *rest) = update(**({} if dtype == 'float32' else {'dtype': dtype})), arguments()
  losses = []
  for _ in range(30):
    state, found = step_of(state, *rest)
    losses.append(float(found.metrics['l1']))
  assert {leaf.dtype for leaf in jax.tree.leaves(state.model)} == {jnp.dtype('float32')}
  assert np.isfinite(losses).all() and losses[-1] < 0.8 * losses[0], losses


@pytest.mark.parametrize(
  'remat', [pytest.param('convs', marks=pytest.mark.integration), pytest.param('blocks', marks=pytest.mark.release)]
)
def test_rematerialisation_computes_the_same(remat):
  plain, ours = first_update(), first_update(remat=remat)
  for name, value in plain.metrics.items():
    np.testing.assert_allclose(ours.metrics[name], value, rtol=1e-5, err_msg=name)
  for side in ('model', 'discriminator'):
    wanted, found = getattr(plain, side), getattr(ours, side)
    assert set(wanted) == set(found)
    # The same operations, which the compiler may fuse otherwise; relative to the whole gradient.
    assert max(norm(found[path] - wanted[path]) for path in wanted) < 1e-5 * norm(wanted)


def kept_bytes(remat: str) -> int:
  """What lies between the forward and the backward pass of the generator's update and grows with the batch."""
  config, batch = configuration(remat=remat), 7  # a number of nothing else
  stage, state = stages.build(config), arguments()[0]

  def pull_back(model):
    loss = lambda model: step.total(stage.model_losses(model, state.discriminator, arguments()[1], pictures)[0])[0]
    return jax.vjp(loss, model)[1]

  pictures = tiny.batch(config, size=batch)
  leaves = jax.tree.leaves(jax.eval_shape(pull_back, state.model))
  return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves if leaf.ndim and leaf.shape[0] % batch == 0)


def test_rematerialisation_keeps_less():
  """The compiler decides what it frees; what it cannot free is what the backward pass takes over."""
  none, convs, blocks = map(kept_bytes, ('none', 'convs', 'blocks'))
  assert convs < 0.7 * none and blocks < 0.7 * convs, (none, convs, blocks)
