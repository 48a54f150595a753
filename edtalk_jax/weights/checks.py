"""What is said of a state dict that is not the network it should be."""

from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import numpy as np


def names(network: str, *, missing: set[str], unknown: set[str]) -> None:
  """Raises ValueError if anything is missing or unknown, naming it."""
  if missing or unknown:
    raise ValueError(f'this is no {network} network: missing {", ".join(sorted(missing)) or "nothing"}; '
                     f'unknown {", ".join(sorted(unknown)) or "nothing"}')


def shapes(network: str, flat: Mapping[str, np.ndarray], expected: Mapping[str, Any]) -> None:
  """Raises ValueError if arrays by path differ in shape from the nested `expected`, naming them."""
  wanted = {path: leaf.shape for path, leaf in flax.traverse_util.flatten_dict(expected, sep='/').items()}
  wrong = [f'{path} {array.shape}, expected {wanted[path]}' for path, array in flat.items()
           if array.shape != wanted[path]]
  if wrong:
    raise ValueError(f'{network}: shapes do not fit together: {"; ".join(wrong)}')
