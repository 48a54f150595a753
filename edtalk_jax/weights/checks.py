"""What is said of a state dict that is not the network it should be."""

from collections.abc import Iterable, Mapping
from typing import Any

NAMED = 5  # names in a message; the others are counted


def names(network: str, *, missing: set[str], unknown: set[str]) -> None:
  """Raises ValueError if anything is missing or unknown, naming it."""
  if missing or unknown:
    raise ValueError(
      f'this is no {network} network: missing {_some(sorted(missing))}; unknown {_some(sorted(unknown))}'
    )


def shapes(network: str, arrays: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]]) -> None:
  """Raises ValueError if arrays differ in shape from what `expected` says of their names, naming them."""
  wrong = [
    f'{name} {tuple(arrays[name].shape)}, expected {shape}'
    for name, shape in expected.items()
    if tuple(arrays[name].shape) != shape
  ]
  if wrong:
    raise ValueError(f'{network}: shapes do not fit together: {_some(wrong, "; ")}')


def _some(items: Iterable[str], separator: str = ', ') -> str:
  items = list(items)
  more = f' and {len(items) - NAMED} more' if len(items) > NAMED else ''
  return (separator.join(items[:NAMED]) or 'nothing') + more
