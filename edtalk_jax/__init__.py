"""EDTalk in JAX: three disentangled facial motion spaces, trained at scale. See README.md."""

from edtalk_jax._version import __version__

__all__ = ['__version__']
