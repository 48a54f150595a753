"""Floating-point operations of a function, counted from shapes: no compiler, no device.

Only convolutions and matrix products count, a multiplication and an addition each; what is element by element is bound
by memory. Products with the zeros of padding or between dilated elements are left out, as in XLA's cost analysis, so
that no use of a chip is flattered by them.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.interpreters import partial_eval

_REMATTED = 'rematted_computation'  # where jax.checkpoint puts what it computes again


def count(function: Callable[..., Any], *args: Any, platform: str | None = None) -> int:
  """Returns the operations of `function(*args)`; see `count_jaxpr`. The arguments may be ShapeDtypeStructs."""
  return count_jaxpr(jax.make_jaxpr(function)(*args).jaxpr, platform)


def count_jaxpr(jaxpr: Any, platform: str | None = None) -> int:
  """Returns the operations of a jaxpr over all devices.

  Args:
    jaxpr: a Jaxpr or ClosedJaxpr.
    platform: 'cpu', 'cuda' or 'tpu': what `jax.lax.platform_dependent` chooses there, so that it counts what runs. None
      takes the cheapest of the equal forms, and leaves out what rematerialisation computes again: what the mathematics
      needs, on which model FLOPs utilisation is based.

  Raises:
    ValueError: on products in a loop whose number of turns is not known.
  """
  return sum(operations(equation) * times for equation, times in products(jaxpr, platform))


def products(jaxpr: Any, platform: str | None = None) -> list[tuple[Any, int]]:
  """Returns the products of a jaxpr, in its order, and how often each runs; see `count_jaxpr`.

  Of the forms between which a platform chooses, what no result depends on is left out, as compilers do: a gradient that
  is written down has its part for the kernel even where that is frozen.
  """
  found = []
  for equation in getattr(jaxpr, 'jaxpr', jaxpr).eqns:
    name = equation.primitive.name
    if platform is None and _REMATTED in str(equation.source_info.name_stack):
      continue
    inside = [
      products(_without_dead_code(inner) if name == 'cond' else inner, platform)
      for inner in inner_jaxprs(equation.params)
    ]
    if name in PRODUCTS:
      found.append((equation, 1))
    elif name == 'cond':
      found += _branch(inside, equation.params.get('branches_platforms'), platform)
    elif name == 'while' and any(inside):
      raise ValueError('convolutions or matrix products in a while loop cannot be counted; use scan')
    else:
      found += [(inner, times * _turns(equation)) for branch in inside for inner, times in branch]
  return found


def _without_dead_code(jaxpr: Any) -> Any:
  jaxpr = getattr(jaxpr, 'jaxpr', jaxpr)
  return partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0]


def operations(equation: Any) -> int:
  """Operations of one convolution or matrix product."""
  return PRODUCTS[equation.primitive.name](equation)


def _turns(equation: Any) -> int:
  if equation.primitive.name == 'scan':
    return equation.params['length']
  if equation.primitive.name == 'shard_map':
    return equation.params['mesh'].size  # its shapes are those of one device
  return 1


def inner_jaxprs(params: dict[str, Any]) -> Iterator[Any]:
  """The jaxprs among the parameters of an equation: the bodies of calls, loops and branches."""
  for value in params.values():
    for item in value if isinstance(value, (tuple, list)) else (value,):
      if hasattr(getattr(item, 'jaxpr', item), 'eqns'):
        yield item


def _branch(branches: list[list], platforms: tuple | None, platform: str | None) -> list[tuple[Any, int]]:
  cost = lambda branch: sum(operations(equation) * times for equation, times in branch)
  if platforms is None:
    return max(branches, key=cost)  # which one runs depends on data
  if platform is None:
    return min(branches, key=cost)
  chosen = (at for at, names in enumerate(platforms) if names is None or platform in names)
  return branches[next(chosen)]


def _dot(equation: Any) -> int:
  (contracted, _), _ = equation.params['dimension_numbers']
  shape = equation.invars[0].aval.shape
  return 2 * equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)


def _convolution(equation: Any) -> int:
  params, (x, kernel), y = equation.params, [v.aval.shape for v in equation.invars], equation.outvars[0].aval.shape
  x_axes, kernel_axes, y_axes = params['dimension_numbers']  # batch or output features, channels, space
  spaces = zip(
    x_axes[2:],
    kernel_axes[2:],
    y_axes[2:],
    params['window_strides'],
    params['padding'],
    params['lhs_dilation'],
    params['rhs_dilation'],
    strict=True,
  )
  # A product for each position of the output, tap of the kernel, input channel of the group, output channel and
  # example; only the first two are ever zero by construction, and each axis by itself.
  positions = math.prod(
    _taps(x[i], kernel[j], y[k], stride, low, holes, step) for i, j, k, stride, (low, _), holes, step in spaces
  )
  examples = x[x_axes[0]] // params['batch_group_count']
  return 2 * positions * kernel[kernel_axes[1]] * kernel[kernel_axes[0]] * examples


def _taps(length: int, side: int, outputs: int, stride: int, low: int, dilation: int, kernel_dilation: int) -> int:
  """Pairs of output position and kernel tap along an axis that meet an element of the input."""
  places = (
    position * stride + tap * kernel_dilation - low for position in range(outputs) for tap in range(side)
  )  # in the dilated input
  return sum(0 <= place <= (length - 1) * dilation and place % dilation == 0 for place in places)


PRODUCTS = {'dot_general': _dot, 'conv_general_dilated': _convolution}
