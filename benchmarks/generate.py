"""Frames per second of a portrait in motion.

  python -m benchmarks.generate --batch 8
  python -m benchmarks.generate --image-size 256 512 --dtype float32 bfloat16 --batch 16 64
  python -m benchmarks.generate --model runs/mouth_pose

Two rates of every combination. `device`: the generator alone, weights of the motion spaces in, uint8 frames out, all on
the device. `frames/s`: `Model.generate` as everybody calls it, with motion from the host and frames back on it.
Parameters are drawn at random unless a run is named; speed does not depend on them.
"""

import itertools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks import harness
from edtalk_jax import model as model_lib
from edtalk_jax import terminal
from edtalk_jax.config import Config, ModelConfig, PerceptualConfig
from edtalk_jax.networks import EDTalk
from edtalk_jax.training import flops


def main(
  model: str = '',
  image_size: tuple[int, ...] = (256,),
  batch: tuple[int, ...] = (8,),
  dtype: tuple[Literal['float32', 'bfloat16'], ...] = ('float32',),
  calls: int = 1,
  repeats: int = 3,
) -> None:
  """Times frames.

  Args:
    model: Folder of a run; without it, the full-size model with random parameters.
    image_size: Pixels, without --model.
    batch: Frames of a call of the device.
    dtype: Of convolutions and activations.
    calls: Of a repeat.
    repeats: How often.
  """
  if model:
    models = (model_lib.load(model, batch_size=frames) for frames in batch)
  else:
    models = itertools.starmap(fresh, itertools.product(image_size, dtype, batch))
  rows = [measure(each, calls, repeats) for each in models]
  harness.show(rows, model=model, calls=calls, repeats=repeats)


def fresh(size: int, dtype: str, batch: int) -> model_lib.Model:
  """The full-size model, drawn at random."""
  config = Config(model=ModelConfig(image_size=size, dtype=dtype), perceptual=PerceptualConfig(scales=()))
  image = jnp.zeros((1, size, size, 3))
  params = jax.jit(EDTalk(config.model).init)(jax.random.key(0), image, image)['params']
  return model_lib.Model(config, params, batch_size=batch)


def measure(model: model_lib.Model, calls: int, repeats: int) -> dict:
  """One row: what was chosen, and how fast it is."""
  rng, size, batch = np.random.default_rng(0), model.image_size, model.batch_size
  source = model.encode(rng.integers(0, 256, (size, size, 3), np.uint8))
  draw = lambda frames: {
    name: rng.normal(size=(frames, length)).astype(np.float32) for name, length in model.config.model.banks
  }
  motion, one_call = draw(calls * batch), jax.device_put(draw(batch))

  def on_device() -> None:
    for _ in range(calls):
      frames = model.paint(source, one_call)
    jax.block_until_ready(frames)

  seconds = harness.in_turns({'device': on_device, 'all': lambda: model.generate(source, motion)}, repeats)
  device, everything = (float(np.median(seconds[name].wall)) / calls / batch for name in ('device', 'all'))
  count = flops.count(lambda motion: model.paint(source, motion), one_call) / batch
  return {
    'size': size,
    'batch': batch,
    'dtype': model.config.model.dtype,
    'frames/s': 1 / everything,
    'device': 1 / device,
    'processor': float(np.median(seconds['device'].processor)) / calls / batch,
    'gflop/frame': count / 1e9,
    **harness.speed(count, device, model.config.model.dtype),
  }


if __name__ == '__main__':
  terminal.run_main(lambda: tyro.cli(main, prog='python -m benchmarks.generate', description=__doc__))
