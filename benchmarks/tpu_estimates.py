"""What the TPU's compiler expects of single operations, in each of their forms; no TPU is needed.

  pip install -c constraints.txt -e '.[tpu-aot]'
  python -m benchmarks.tpu_estimates
  python -m benchmarks.tpu_estimates --only down warp --topology v5p:2x2x1

Each form is compiled ahead of time for one chip: the output and all gradients for a given cotangent, in bfloat16, at
the sizes of the 256 px networks. Cycles are the compiler's estimates, as in `edtalk compile-report`; lookups,
scattered additions and sorts have none, so that their number is given. The share of the peak counts what the cheapest
form multiplies, over the cycles of this one.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import tyro

from edtalk_jax.reporting import topology as topology_lib

FORMS = dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]]


def cases(images: int) -> dict[str, FORMS]:
  """Forms by case: the function and the shapes of its arguments. All forms of a case compute the same."""
  from edtalk_jax.ops import convolution, lanes, tpu_forms

  warp = importlib.import_module('edtalk_jax.ops.warp')  # the module: in `ops` its name is the function's

  def sampled(form):
    return lambda x, grid: form(x, grid[..., 0], grid[..., 1], grid[..., 1] ** 2)

  found = {}
  for size, channels in ((256, 64), (128, 128), (64, 256), (32, 512)):
    found[f'conv {channels} @{size}'] = {
      'as it is': (convolution.same_conv, ((images, size, size, channels), (3, 3, channels, channels)))
    }
    if lanes.narrow(channels):
      form = functools.partial(tpu_forms.conv_columns, columns=2)
      shapes = (images, size, size // 2, 2 * channels), (3, 3, channels, channels)
      found[f'conv {channels} @{size}']['pairs'] = form, shapes
  for size, channels in ((256, 64), (128, 128), (64, 256)):
    for side in (3, 1):
      kernel = (side, side, channels, 2 * channels)
      shapes = (images, size, size, channels), kernel
      forms = found[f'down {side}x{side} {channels}->{2 * channels} @{size}'] = {
        'folded': (convolution.downsample_folded, shapes),
        'blur, then phases': (tpu_forms.downsample, shapes),
      }
      if lanes.narrow(channels):
        forms['pairs'] = tpu_forms.downsample_pairs, ((images, size, size // 2, 2 * channels), kernel)
  for size, channels in ((128, 128), (32, 512)):
    shapes = (images, size, size, channels), (3, 3, channels, channels // 2)
    forms = found[f'up {channels}->{channels // 2} @{size}'] = {
      'folded': (convolution.upsample_folded, shapes),
      'phases, then blur': (tpu_forms.upsample, shapes),
    }
    if lanes.narrow(channels // 2):
      forms['pairs'] = tpu_forms.upsample_pairs, shapes
  for size, channels in ((256, 3), (128, 128), (64, 256)):
    shapes = (images, size, size, channels), (images, size, size, 2)
    found[f'warp {channels} @{size}'] = {
      'four lookups': (sampled(warp.sample_corners), shapes),
      'one lookup': (sampled(warp.sample_quads), shapes),
    }
  return found


def main(only: tuple[str, ...] = (), images: int = 8, topology: str = 'v5e:2x2') -> None:
  """Compiles and prints.

  Args:
    only: Beginnings of the names of cases; all by default.
    images: Of every case.
    topology: Chip and a slice of it, as for `edtalk compile-report`.
  """
  topology_lib.prepare()
  from benchmarks import harness  # imports JAX, which must come after

  machine = topology_lib.parse(topology)
  device = topology_lib.describe(machine)[0]
  rows = []
  for name, forms in cases(images).items():
    if only and not name.startswith(tuple(only)):
      continue
    counted = {form: estimate(function, shapes, device) for form, (function, shapes) in forms.items()}
    needed = min(flops for flops, *_ in counted.values())
    for form, (flops, cycles, rest) in counted.items():
      seconds = cycles / machine.chip.clock
      peak = needed / seconds / machine.chip.peak if seconds and flops else 0.0
      rows.append({'case': name, 'form': form, 'M cycles': cycles / 1e6, '% of peak': 100 * peak, 'no estimate': rest})
      print(*rows[-1].values(), sep=' | ', flush=True)
  harness.show(rows, topology=topology, images=images)


def estimate(function: Callable[..., Any], shapes: tuple[tuple[int, ...], ...], device: Any) -> tuple[int, int, str]:
  """Returns operations, estimated cycles, and what has no estimate, of a function with its gradients."""
  import jax
  import jax.numpy as jnp
  from jax.experimental.layout import Format, Layout
  from jax.sharding import SingleDeviceSharding

  from edtalk_jax.reporting import cycles, hlo
  from edtalk_jax.training import flops

  # Grids and colours are float32; their last dimension tells.
  inputs = [jax.ShapeDtypeStruct(shape, jnp.float32 if shape[-1] in (2, 3) else jnp.bfloat16) for shape in shapes]

  def with_gradients(cotangent, *args):
    out, pull_back = jax.vjp(function, *args)
    return out, pull_back(cotangent)

  arguments = (jax.eval_shape(function, *inputs), *inputs)
  # Inside a network, neighbours bring arrays in the layout that suits an operation.
  free = Format(Layout.AUTO, SingleDeviceSharding(device))
  traced = jax.jit(with_gradients, in_shardings=free, out_shardings=free).trace(*arguments)
  module = hlo.parse(traced.lower(lowering_platforms=('tpu',)).compile().as_text())
  total = sum(share.cycles for share in cycles.by_kind(module))
  rest = ', '.join(f'{share.count} {share.name}' for share in cycles.without_estimate(module))
  return flops.count_jaxpr(traced.jaxpr, 'tpu'), total, rest


if __name__ == '__main__':
  tyro.cli(main)
