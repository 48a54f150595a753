"""EDTalk's whole generator side: encoder, navigation and generator as one module."""

from collections.abc import Collection, Sequence

import flax.linen as nn
import jax

from edtalk_jax.config import ModelConfig
from edtalk_jax.networks.encoder import Encoder
from edtalk_jax.networks.generator import Generator
from edtalk_jax.networks.navigation import Navigation, directions


class EDTalk(nn.Module):
  """The face animator (EDTalk Sec. 3; official code, networks/generator.py).

  Methods are called with `model.apply(variables, ..., method='encode')`. Parameter paths are an interface:
  `encoder/...`, `navigation/{trunk, heads/<bank>, banks/<bank>}`, `generator/...`. LIA is this module with
  `banks=(('motion', 20),)` and `head_layers=1`; encoder, trunk and generator have the same paths in both.

  Attributes:
    config: sizes.
  """

  config: ModelConfig

  def setup(self):
    """Names the parts."""
    self.encoder = Encoder(self.config)
    self.navigation = Navigation(self.config)
    self.generator = Generator(self.config)

  def encode(self, images: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Maps images[batch, size, size, 3] in [-1, 1] to code float32[batch, style_dim] and features, 8 px first."""
    return self.encoder(images)

  def motion(self, code: jax.Array) -> dict[str, jax.Array]:
    """Maps a driver's code[batch, style_dim] to bank name -> weights, float32[batch, size]."""
    return self.navigation.weights(code)

  def basis(self, frozen: Collection[str] = ()) -> jax.Array:
    """Returns the orthonormal basis, float32[style_dim, sum of sizes]; banks in `frozen` get no gradient."""
    return self.navigation.basis(frozen)

  def decode(self, latent: jax.Array, features: Sequence[jax.Array], expression: jax.Array | None = None) -> jax.Array:
    """Paints float32[batch, size, size, 3] from latent[batch, style_dim] and the source's features.

    Args:
      latent: the source's code plus a `direction`.
      features: the source's, from `encode`.
      expression: the expression bank's part of that direction, for models with `expression_module`.
    """
    return self.generator(latent, features, expression)

  def __call__(self, source: jax.Array, driver: jax.Array) -> jax.Array:
    """Animates source[batch, size, size, 3] with all motion of driver, of the same shape; for `init` and training."""
    code, features = self.encode(source)
    shifts = directions(self.motion(self.encode(driver)[0]), self.basis(), self.config)
    expression = shifts['expression'] if self.config.expression_module else None
    return self.decode(code + sum(shifts.values()), features, expression)
