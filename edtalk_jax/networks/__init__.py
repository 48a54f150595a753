"""Networks as Flax modules: parameters and wiring; the mathematics is in `edtalk_jax.ops`."""

from edtalk_jax.networks.discriminator import Discriminator
from edtalk_jax.networks.edtalk import EDTalk
from edtalk_jax.networks.encoder import Encoder
from edtalk_jax.networks.generator import Generator
from edtalk_jax.networks.navigation import Navigation, direction, directions, relative_weights
from edtalk_jax.networks.vgg import VGG19, pyramid_features

__all__ = [
  'VGG19',
  'Discriminator',
  'EDTalk',
  'Encoder',
  'Generator',
  'Navigation',
  'direction',
  'directions',
  'pyramid_features',
  'relative_weights',
]
