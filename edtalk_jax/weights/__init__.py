"""Official PyTorch weights in and out: the only code that knows their names."""

from edtalk_jax.weights.official import bank_signs, from_official, left_out, official_layout, to_official
from edtalk_jax.weights.vgg import load_vgg19

__all__ = ['bank_signs', 'from_official', 'left_out', 'load_vgg19', 'official_layout', 'to_official']
