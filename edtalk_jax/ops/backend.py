"""Which form of an operation is traced."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax

_target: str | None = None


def select(*args: Any, default: Callable[..., Any], **forms: Callable[..., Any]) -> Any:
  """Applies the form of an operation that the platform has, `default` where `forms` (cpu, cuda, tpu) has none.

  Without a target all forms are traced and the compiler takes that of its platform, as `jax.lax.platform_dependent`
  does; differentiation then traces all of them, too.
  """
  if _target is None:
    return jax.lax.platform_dependent(*args, default=default, **forms)
  return forms.get(_target, default)(*args)


def set_target(platform: str | None) -> None:
  """Traces for 'cpu', 'cuda' or 'tpu' alone from now on; None: for all. Programs traced before are forgotten."""
  global _target
  if platform != _target:
    jax.clear_caches()  # traces of other forms
    _target = platform


@contextlib.contextmanager
def target(platform: str | None) -> Iterator[None]:
  """`set_target` for the extent of a context."""
  before = _target
  set_target(platform)
  try:
    yield
  finally:
    set_target(before)
