"""Parameter trees by path: what trains, what is frozen, what is restored."""

import re
from collections.abc import Mapping
from typing import Any

import jax
from flax import traverse_util

Params = Mapping[str, Any]
Flat = dict[str, jax.Array]


def flatten(tree: Params) -> Flat:
  """Nested dictionaries -> one dictionary with '/'-joined paths."""
  return traverse_util.flatten_dict(dict(tree), sep='/')


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
  """The inverse of `flatten`."""
  return traverse_util.unflatten_dict(dict(flat), sep='/')


def split(tree: Params, pattern: str) -> tuple[Flat, Flat]:
  """Returns the flat leaves whose path matches `pattern` (re.search), and the others.

  Raises:
    ValueError: if nothing matches, since then nothing would train.
  """
  flat = flatten(tree)
  chosen = {path: leaf for path, leaf in flat.items() if re.search(pattern, path)}
  if not chosen:
    raise ValueError(f'no parameter matches {pattern!r}; the first is {next(iter(flat), None)!r}')
  return chosen, {path: leaf for path, leaf in flat.items() if path not in chosen}


def path_of(key_path: tuple[Any, ...]) -> str:
  """The path that rules and messages use for a leaf of any pytree."""
  return jax.tree_util.keystr(key_path, simple=True, separator='/')
