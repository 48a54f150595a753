"""PyTorch's side of `benchmarks/versus_pytorch.py`: how it runs, and how our arrays get there."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

Turn = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Mode:
  """A number format: float32, with or without TF32, or bfloat16 by autocast."""

  name: str
  tf32: bool = False
  bfloat16: bool = False


def modes(on_gpu: bool) -> tuple[Mode, ...]:
  """What is tried on a device."""
  more = (Mode('TF32', tf32=True), Mode('bfloat16', tf32=True, bfloat16=True))
  return (Mode('float32'), *(more if on_gpu else ()))


def turn(function: Callable[[Any], Any], argument: Any, mode: Mode) -> Turn:
  """Calls a function in a mode, and waits for the device."""

  def run() -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode.tf32
    with torch.autocast('cuda', torch.bfloat16) if mode.bfloat16 else contextlib.nullcontext():
      function(argument)
    if torch.cuda.is_available():
      torch.cuda.synchronize()

  return run


def compiled(function: Callable) -> Callable:
  """The function by PyTorch's compiler, as it comes."""
  return torch.compile(function)


def that_run(turns: Mapping[str, Turn]) -> dict[str, Turn]:
  """Those that run here; of others, as compiled ones where there is no C++ compiler, it says why not."""
  kept = {}
  for name, once in turns.items():
    try:
      once()
    except Exception as error:  # whatever PyTorch's compiler raises
      if 'compile' not in name:
        raise
      print(f'{name} does not run here: {" ".join(str(error).split())[:200]}', file=sys.stderr)
    else:
      kept[name] = once
  return kept


def tensors(pictures: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
  """uint8[batch, height, width, 3] -> float32[batch, 3, height, width] in [-1, 1], on the default device."""
  return {
    name: torch.tensor(((values.astype(np.float32) / 255 - 0.5) * 2).transpose(0, 3, 1, 2).copy())
    for name, values in pictures.items()
  }


def load(module: torch.nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
  """Puts arrays into a module; its buffers, which are constants, stay."""
  constants = dict(module.named_buffers())
  state = {name: torch.tensor(np.array(array)) for name, array in arrays.items()}
  module.load_state_dict({**constants, **state})
