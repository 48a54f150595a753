"""Configurations as users write them: files, `--set NAME=VALUE`, and the JSON of a run's record."""

import ast
import dataclasses
import importlib.util
import pathlib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from edtalk_jax.config import Config, UserError

Kind = TypeVar('Kind')


def override(config, name: str, text: str):
  """Returns `config` with the field `name` (dots descend) set to the value that `text` spells.

  Raises:
    ValueError: if there is no such field, or `text` is not of its type.
  """
  head, _, rest = name.partition('.')
  fields = {f.name: f.type for f in dataclasses.fields(config)}
  if head not in fields:
    raise ValueError(f'unknown option {head!r}; {type(config).__name__} has {", ".join(fields)}')
  old = getattr(config, head)
  if rest:
    if not dataclasses.is_dataclass(old):
      raise ValueError(f'{head} is a {type(old).__name__} and has no field {rest!r}')
    return dataclasses.replace(config, **{head: override(old, rest, text)})
  if dataclasses.is_dataclass(old):
    raise ValueError(f'{head} is a group; set one of its fields, e.g. {head}.{dataclasses.fields(old)[0].name}')
  return dataclasses.replace(config, **{head: _parse(text, fields[head], head)})


def _parse(text: str, kind: Any, name: str) -> Any:
  if kind is str or typing.get_origin(kind) is Literal:
    return _convert(text, kind, name)
  try:
    value = ast.literal_eval(text)
  except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
    raise ValueError(f'{name} must be a {_type_name(kind)}, got {text!r}') from None
  return _convert(value, kind, name)


def _convert(value: Any, kind: Any, name: str) -> Any:
  """Returns `value` (from JSON or a literal) as `kind`, or raises ValueError."""
  origin, arguments = typing.get_origin(kind), typing.get_args(kind)
  if origin is Literal:
    if value not in arguments:
      raise ValueError(f'{name} must be one of {", ".join(map(str, arguments))}, got {value!r}')
    return value
  if origin is tuple and isinstance(value, (list, tuple)):
    kinds = [arguments[0]] * len(value) if arguments[-1] is ... else arguments
    if len(kinds) == len(value):
      return tuple(_convert(v, k, name) for v, k in zip(value, kinds, strict=True))
  elif kind is float and type(value) in (int, float):
    return float(value)
  elif isinstance(kind, type) and type(value) is kind:
    return value
  raise ValueError(f'{name} must be a {_type_name(kind)}, got {value!r}')


def _type_name(kind: Any) -> str:
  return kind.__name__ if isinstance(kind, type) and not isinstance(kind, types.GenericAlias) else str(kind)


def from_dict(kind: type, values: Mapping[str, Any], name: str = ''):
  """Builds the dataclass `kind` from nested dictionaries, the inverse of `dataclasses.asdict` through JSON.

  Raises:
    ValueError: on an unknown field or a value of the wrong type.
  """
  fields = {f.name: f.type for f in dataclasses.fields(kind)}
  arguments = {}
  for key, value in values.items():
    path = f'{name}.{key}'.lstrip('.')
    if key not in fields:
      raise ValueError(f'unknown option {path!r}; {kind.__name__} has {", ".join(fields)}')
    if dataclasses.is_dataclass(fields[key]):
      arguments[key] = from_dict(fields[key], value, path)
    else:
      arguments[key] = _convert(value, fields[key], path)
  return kind(**arguments)


def load(path: str, overrides: Sequence[str] = ()) -> Config:
  """Reads a Python file that defines `get_config()` and applies `name=value` overrides.

  Raises:
    UserError: with one line that names the file or option, its value and what was expected.
  """
  return apply_overrides(read_file(path, Config), overrides)


def read_file(path: str, kind: type[Kind]) -> Kind:
  """Returns what `get_config()` of a Python file returns. Raises UserError in one line if it is no `kind`."""
  file = pathlib.Path(path)
  if not file.is_file():
    raise UserError(f'--config {path}: no such file; configs/ holds the shipped ones')
  spec = importlib.util.spec_from_file_location(f'edtalk_config_{file.stem}', file)
  if spec is None or spec.loader is None:
    raise UserError(f'--config {path}: not a Python file')
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
    config = module.get_config()
  except Exception as error:  # the file is the user's: whatever it raises is theirs to mend
    raise UserError(f'--config {path}: {type(error).__name__}: {error}') from None
  if not isinstance(config, kind):
    raise UserError(f'--config {path}: get_config() must return a {kind.__name__}, got {type(config).__name__}')
  return config


def apply_overrides(config: Config, overrides: Sequence[str]) -> Config:
  """Applies `name=value` strings in order. Raises UserError in one line."""
  for text in overrides:
    name, equals, value = text.partition('=')
    if not equals:
      raise UserError(f'--set {text}: expected NAME=VALUE, e.g. optimizer.beta2=0.9')
    try:
      config = override(config, name.strip(), value.strip())
    except ValueError as error:
      raise UserError(f'--set {text}: {error}') from None
  return config
