"""Ours against PyTorch: the train step and the generator's forward pass, with the same parameters and the same batch.

  python -m benchmarks.versus_pytorch --batch 2 --rounds 5           # needs the extra [torch]
  python -m benchmarks.versus_pytorch --what generator --batch 1

`benchmarks/torch_baseline.py` is a plain PyTorch implementation of the mouth-pose stage, as the official code works. It
runs as it is (eager) and through `torch.compile`. All sides take turns in one process, each round in another order;
medians are printed, and the median over the rounds of the time of each / the time of ours in float32. Before that, both
sides' losses (the generator's images) on the first batch are compared.

On a CPU all is float32. On an NVIDIA GPU PyTorch runs in float32, with TF32 and in bfloat16 (autocast), ours in float32
as JAX has it by default, which is TF32, and in bfloat16.

The batch lies on the device, and a turn ends when the device is done. `generator`: encode source and driver, read the
motion, decode.
"""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any, Literal

import tyro

os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')  # the device's memory is shared with PyTorch

import jax
import numpy as np

from benchmarks import harness, torch_weights
from edtalk_jax import terminal
from edtalk_jax.config import Config, DataConfig, ModelConfig, PerceptualConfig, RunConfig, UserError
from edtalk_jax.networks import EDTalk
from edtalk_jax.stages.losses import to_unit_range

Turn = Callable[[], Any]
# Norm of the difference of losses or images in float32, relative to theirs. Not the largest difference: at 256 pixels
# the worst pixel of a generator of random parameters is off by 2e-3 to 3e-3 of the largest value on either side,
# measured against PyTorch in float64.
CLOSE = 1e-3


def main(
  what: tuple[Literal['generator', 'step'], ...] = ('generator', 'step'),
  image_size: int = 256,
  batch: int = 2,
  rounds: int = 5,
  compile: bool = True,
) -> None:
  """Times both sides.

  Args:
    what: generator: one forward pass; step: both updates of the mouth-pose stage.
    image_size: Pixels.
    batch: Examples; an example of a step is six pictures, of the generator a source and a driver.
    rounds: In each of which every side takes its turn.
    compile: Also run `torch.compile`, which takes minutes to begin.
  """
  try:
    import torch
  except ImportError:
    raise UserError("benchmarks.versus_pytorch needs PyTorch: pip install 'edtalk-jax[torch]'") from None
  on_gpu = jax.default_backend() == 'gpu'
  torch.set_default_device('cuda' if on_gpu else 'cpu')
  rows = []
  for each in what:
    prepare = generator_sides if each == 'generator' else step_sides
    rows += compare(each, prepare(image_size, batch, on_gpu, compile), batch, rounds)
  harness.show(rows, torch=torch.__version__, image_size=image_size, batch=batch, rounds=rounds)


def compare(what: str, turns: dict[str, Turn], batch: int, rounds: int) -> list[dict]:
  """Rows of one piece of work."""
  found = harness.in_turns(turns, rounds)
  ours = found['ours float32'].wall
  return [
    {
      'what': what,
      'side': name,
      'seconds': float(np.median(seconds.wall)),
      'processor': float(np.median(seconds.processor)),
      'examples/s': batch / float(np.median(seconds.wall)),
      'x ours': float(np.median(seconds.wall / ours)),
    }
    for name, seconds in found.items()
  ]


def settings(size: int, batch: int, dtype: str) -> Config:
  """The full-size mouth-pose stage; below 128 pixels with fewer scales of the VGG pyramid, as the baseline has."""
  return Config(
    run=RunConfig(stage='mouth_pose'),
    model=ModelConfig(image_size=size, dtype=dtype),
    perceptual=PerceptualConfig(scales=tuple(1 / factor for factor in (1, 2, 4, 8) if size >= 16 * factor)),
    data=DataConfig(batch_size=batch),
  )


def formats(on_gpu: bool) -> tuple[str, ...]:
  """Ours, by number format."""
  return ('float32', 'bfloat16') if on_gpu else ('float32',)


def step_sides(size: int, batch: int, on_gpu: bool, compile: bool) -> dict[str, Turn]:
  """The train step of every side."""
  from benchmarks import torch_baseline, torch_side

  config = functools.partial(settings, size, batch)
  turns = {f'ours {dtype}': harness.TrainStep(config(dtype), jax.devices()[:1]) for dtype in formats(on_gpu)}
  ours = turns['ours float32']
  params, images = ours.params, torch_side.tensors(ours.pictures)

  def trainer() -> torch_baseline.Trainer:
    made = torch_baseline.Trainer(size)
    torch_side.load(made.model, torch_weights.model(params['model'], size))
    torch_side.load(made.discriminator, torch_weights.discriminator(params['discriminator'], size))
    torch_side.load(made.perceptual, torch_weights.perceptual(params['vgg']))
    return made

  ours()
  losses = [float(ours.metrics[name]) for name in ('loss', 'discriminator_loss')]
  agree('losses of the first step', [float(loss) for loss in trainer().step(images)], losses, on_gpu)
  for mode in torch_side.modes(on_gpu):
    turns[f'PyTorch eager {mode.name}'] = torch_side.turn(trainer().step, images, mode)
    if compile:
      compiled = trainer()
      compiled.model_loss = torch_side.compiled(compiled.model_loss)
      compiled.discriminator_loss = torch_side.compiled(compiled.discriminator_loss)
      turns[f'PyTorch compile {mode.name}'] = torch_side.turn(compiled.step, images, mode)
  return torch_side.that_run(turns)


def generator_sides(size: int, batch: int, on_gpu: bool, compile: bool) -> dict[str, Turn]:
  """The generator's forward pass of every side."""
  from benchmarks import torch_baseline, torch_side

  pair = np.random.default_rng(0).integers(0, 256, (2, batch, size, size, 3), np.uint8)
  models = {dtype: EDTalk(settings(size, batch, dtype).model) for dtype in formats(on_gpu)}
  source, driver = jax.device_put(to_unit_range(pair))
  params = jax.jit(models['float32'].init)(jax.random.key(0), source, driver)['params']

  def ours(model: EDTalk) -> Turn:
    forward = jax.jit(lambda params: model.apply({'params': params}, source, driver))
    return lambda: jax.block_until_ready(forward(params))

  turns = {f'ours {dtype}': ours(model) for dtype, model in models.items()}
  baseline = torch_baseline.Model(size).requires_grad_(False)
  torch_side.load(baseline, torch_weights.model(jax.device_get(params), size))
  images = tuple(torch_side.tensors({'source': pair[0], 'driver': pair[1]}).values())
  theirs = baseline(*images).permute(0, 2, 3, 1).cpu().numpy()
  agree('images', theirs, turns['ours float32'](), on_gpu)
  eager, fast = (lambda pair, f=f: f(*pair) for f in (baseline, torch_side.compiled(baseline)))
  for mode in torch_side.modes(on_gpu):
    turns[f'PyTorch eager {mode.name}'] = torch_side.turn(eager, images, mode)
    if compile:
      turns[f'PyTorch compile {mode.name}'] = torch_side.turn(fast, images, mode)
  return torch_side.that_run(turns)


def agree(what: str, theirs, ours, on_gpu: bool) -> None:
  """Says how far the two sides are apart; raises ValueError if too far on a CPU, where both are float32."""
  theirs, ours = np.asarray(theirs), np.asarray(ours)
  difference = np.linalg.norm(theirs - ours) / np.linalg.norm(theirs)
  print(f'{what}: the norm of their difference is {difference:.1e} of their norm', file=sys.stderr)
  if not on_gpu and not difference < CLOSE:
    raise ValueError(f'{what} differ by {difference:.1e}; the two sides do not compute the same')


if __name__ == '__main__':
  terminal.run_main(lambda: tyro.cli(main, prog='python -m benchmarks.versus_pytorch', description=__doc__))
