"""The floor from shapes, against counts by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from edtalk_jax.chips import BY_NAME
from edtalk_jax.reporting import roofline

CHIP = dataclasses.replace(BY_NAME['h200'], peak=1e12, bandwidth=1e9)


def test_a_product_takes_the_longer_of_arithmetic_and_memory():
  shapes = jax.ShapeDtypeStruct((1000, 1000), jnp.bfloat16), jax.ShapeDtypeStruct((1000, 1), jnp.bfloat16)
  jaxpr = jax.make_jaxpr(lambda a, b: a @ b)(*shapes)
  found = roofline.floor(jaxpr, CHIP)
  assert found.flops == 2 * 1000 * 1000
  assert found.size == 2 * (1000 * 1000 + 1000 + 1000)
  assert found.seconds == pytest.approx(found.size / 1e9) and found.memory_bound == 1
  fast = roofline.floor(jaxpr, dataclasses.replace(CHIP, bandwidth=1e15))
  assert fast.seconds == pytest.approx(found.flops / 1e12) and fast.memory_bound == 0


def test_gpus_multiply_float32_at_half_the_speed_and_tpus_do_not():
  shapes = [jax.ShapeDtypeStruct((512, 512), jnp.float32)] * 2
  jaxpr = jax.make_jaxpr(jnp.dot)(*shapes)
  seconds = lambda chip: roofline.floor(jaxpr, dataclasses.replace(chip, peak=1e12, bandwidth=1e18)).seconds
  assert seconds(BY_NAME['h200']) == pytest.approx(2 * seconds(BY_NAME['v5e']))


def test_devices_share_the_work():
  jaxpr = jax.make_jaxpr(jnp.dot)(*[jax.ShapeDtypeStruct((512, 512), jnp.float32)] * 2)
  one, four = roofline.floor(jaxpr, CHIP), roofline.floor(jaxpr, CHIP, devices=4)
  assert four.flops == one.flops // 4 and four.seconds == pytest.approx(one.seconds / 4)


def test_turns_of_a_scan_count():
  step = lambda x: jax.lax.scan(lambda c, _: (c @ c, None), x, length=3)[0]
  jaxpr = jax.make_jaxpr(step)(jax.ShapeDtypeStruct((64, 64), jnp.float32))
  assert roofline.floor(jaxpr, CHIP).flops == 3 * 2 * 64**3


def test_live_bytes_are_those_that_are_needed_later():
  def function(x):  # 4 bytes an element: x and y, then y and z; x is the caller's and stays
    y = jnp.sin(x)
    z = jnp.cos(y)
    return z + 1

  shape = jax.ShapeDtypeStruct((1000,), jnp.float32)
  # x is freed after its last use, as donation would; at most two arrays are held.
  assert roofline.live_bytes(jax.make_jaxpr(function)(shape)) == 2 * 4000


def test_live_bytes_of_a_gradient_hold_what_the_way_back_needs():
  chain = lambda x: jnp.sum(jnp.sin(jnp.sin(jnp.sin(x))))
  shape = jax.ShapeDtypeStruct((1000,), jnp.float32)
  forward = roofline.live_bytes(jax.make_jaxpr(chain)(shape))
  assert roofline.live_bytes(jax.make_jaxpr(jax.grad(chain))(shape)) >= forward + 2 * 4000
