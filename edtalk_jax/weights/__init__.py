"""Official PyTorch weights in and out: the only code that knows their names."""

from edtalk_jax.weights.official import from_official, official_layout, to_official
from edtalk_jax.weights.vgg import load_vgg19

__all__ = ['from_official', 'load_vgg19', 'official_layout', 'to_official']
