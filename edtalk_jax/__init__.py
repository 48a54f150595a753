"""EDTalk in JAX: three disentangled facial motion spaces, trained at scale. See README.md."""

from edtalk_jax._version import __version__

__all__ = ['__version__', 'load']


def __getattr__(name: str):
  if name == 'load':  # on first use: JAX takes a second to import, and `edtalk --help` needs none of it
    from edtalk_jax.model import load

    return load
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
