"""All stages of a model, one after another: `edtalk train-all`."""

from edtalk_jax.chain.plan import Chain

__all__ = ['Chain']
