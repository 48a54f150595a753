"""Times both forms of each convolution on the CPU backend: XLA's, or folded, and ours of matrix products.

  python benchmarks/ops.py --batch 2

Milliseconds of processor time, the sum over threads and the least of several runs, of the output and of both
gradients together, at the sizes of the 256 px networks.
"""

import argparse
import sys
import time
from pathlib import Path

import jax
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from edtalk_jax import ops
from edtalk_jax.ops import convolution

# name, form of XLA, ours, size of the input, channels in and out, side of the kernel
CASES = (
  *(
    ('conv', convolution.same_conv, convolution.same_conv_by_products, size, depth, depth, 3)
    for size, depth in ((256, 64), (128, 128), (64, 256), (32, 512))
  ),
  *(
    ('downsample', convolution.downsample_folded, convolution.downsample_separately, size, depth, 2 * depth, side)
    for size, depth in ((256, 64), (128, 128), (64, 256))
    for side in (3, 1)
  ),
  *(
    ('upsample', convolution.upsample_folded, convolution.upsample_separately, size, 2 * depth, depth, 3)
    for size, depth in ((128, 64), (64, 128), (32, 256))
  ),
)


def milliseconds(function, *args, repeats):
  compiled = jax.jit(function).lower(*args).compile()
  jax.block_until_ready(compiled(*args))
  times = []
  for _ in range(repeats):
    start = time.process_time()
    jax.block_until_ready(compiled(*args))
    times.append(time.process_time() - start)
  return 1e3 * min(times)


def gradients(function):
  return lambda x, kernel, cotangent: jax.vjp(function, x, kernel)[1](cotangent)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--batch', type=int, default=2)
  parser.add_argument('--repeats', type=int, default=5)
  args = parser.parse_args()
  normal = lambda *shape: jax.random.normal(jax.random.key(0), shape)
  table = Table('case', 'XLA forward', 'ours forward', 'XLA gradients', 'ours gradients')
  for name, reference, ours, size, inputs, outputs, side in CASES:
    x, kernel = normal(args.batch, size, size, inputs), normal(side, side, inputs, outputs)
    cotangent = normal(*jax.eval_shape(ours, x, kernel).shape)
    row = [milliseconds(f, x, kernel, repeats=args.repeats) for f in (reference, ours)]
    row += [milliseconds(gradients(f), x, kernel, cotangent, repeats=args.repeats) for f in (reference, ours)]
    table.add_row(f'{name} {side}x{side} {inputs}->{outputs} @{size}', *(f'{value:.1f}' for value in row))
  features = normal(args.batch, 256, 256, 64)
  flow = 0.1 * normal(args.batch, 256, 256, 2)
  warp = [
    milliseconds(ops.warp, features, flow, repeats=args.repeats),
    milliseconds(gradients(ops.warp), features, flow, features, repeats=args.repeats),
  ]
  table.add_row('warp 64 @256', '', f'{warp[0]:.1f}', '', f'{warp[1]:.1f}')
  Console().print(table)


if __name__ == '__main__':
  main()
