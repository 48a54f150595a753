"""Navigation: the motion spaces. A driver's code to weights in each bank, and weights to a shift of the latent code.

EDTalk Sec. 3.2: every space is spanned by a bank of learnable vectors, and all vectors are orthonormal, so a space
cannot say what another one says. Banks are an ordered list; QR orthonormalises from left to right, so a later bank
takes what the earlier ones leave and never changes them.
"""

from collections.abc import Collection, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from edtalk_jax import ops
from edtalk_jax.config import ModelConfig
from edtalk_jax.networks.layers import EqualDense


class LinearStack(nn.Module):
  """Linear layers without activations in between: one affine map, over-parametrised as in the official code.

  Depth changes nothing but how the map is learnt.

  Attributes:
    widths: output width of each layer.
    last_init: standard deviation of the last layer's fresh kernel.
  """

  widths: tuple[int, ...]
  last_init: float = 1.0

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps x[batch, in] to float32[batch, widths[-1]]."""
    for index, width in enumerate(self.widths):
      last = index == len(self.widths) - 1
      x = EqualDense(width, kernel_init=self.last_init if last else 1.0, name=f'linear_{index}')(x)
    return x


class Heads(nn.Module):
  """One stack per bank: MLN, PLN and ELN of EDTalk Sec. 3.2 and 3.3.

  Attributes:
    config: banks and depths.
  """

  config: ModelConfig

  @nn.compact
  def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
    """Maps x[batch, style_dim] to the weights of every bank, float32[batch, size]."""
    hidden = (self.config.style_dim,) * (self.config.head_layers - 1)
    return {name: LinearStack((*hidden, size), self.config.head_init, name=name)(x) for name, size in self.config.banks}


class Banks(nn.Module):
  """The vectors of all banks before orthonormalisation, one parameter [style_dim, size] per bank.

  Attributes:
    config: banks in their order.
  """

  config: ModelConfig

  @nn.compact
  def __call__(self) -> dict[str, jax.Array]:
    """Returns bank name -> float32[style_dim, size], drawn from N(0, 1)."""
    return {
      name: self.param(name, nn.initializers.normal(1.0), (self.config.style_dim, size))
      for name, size in self.config.banks
    }


class Navigation(nn.Module):
  """Trunk, heads and banks.

  Attributes:
    config: sizes. LIA's motion head is `banks=(('motion', 20),), trunk_layers=4, head_layers=1`.
  """

  config: ModelConfig

  def setup(self):
    """Names the parts, which are also parameter paths: trunk, heads, banks."""
    self.trunk = LinearStack((self.config.style_dim,) * self.config.trunk_layers)
    self.heads = Heads(self.config)
    self.banks = Banks(self.config)

  def weights(self, code: jax.Array) -> dict[str, jax.Array]:
    """Maps a driver's code[batch, style_dim] to the weights of every bank, float32[batch, size]."""
    return self.heads(self.trunk(code))

  def basis(self, frozen: Collection[str] = ()) -> jax.Array:
    """Returns Q, float32[style_dim, sum of sizes], with orthonormal columns. Call it once per step.

    With `config.orthonormal` off, the columns are the banks' vectors at unit length.

    Args:
      frozen: banks that get no gradient, neither through their own columns nor through the orthogonality of later
        ones. They must come first, since an unfrozen bank would move all columns right of it.

    Raises:
      ValueError: if `frozen` is not the beginning of the list of banks.
    """
    names = [name for name, _ in self.config.banks]
    if set(frozen) != set(names[: len(frozen)]):
      raise ValueError(f'frozen must be the first of the banks {", ".join(names)}, got {", ".join(frozen)}')
    banks = self.banks()
    columns = [jax.lax.stop_gradient(banks[name]) if name in frozen else banks[name] for name in names]
    vectors = jnp.concatenate(columns, axis=1)
    if not self.config.orthonormal:
      return vectors / jnp.linalg.norm(vectors, axis=0, keepdims=True)
    return ops.orthonormal_basis(vectors)


def directions(weights: Mapping[str, jax.Array], basis: jax.Array, config: ModelConfig) -> dict[str, jax.Array]:
  """Returns each bank's shift of the latent code.

  Args:
    weights: bank name -> float32[batch, size], for some or all of the banks.
    basis: float32[style_dim, sum of sizes] from `Navigation.basis`.
    config: names, sizes and order of the banks.

  Returns:
    Bank name -> float32[batch, style_dim], for the same banks.

  Raises:
    ValueError: on a bank that the model lacks, or weights of another size.
  """
  if unknown := set(weights) - {name for name, _ in config.banks}:
    raise ValueError(
      f'weights has the banks {", ".join(sorted(unknown))}, the model has {", ".join(name for name, _ in config.banks)}'
    )
  shifts, first = {}, 0
  for name, size in config.banks:
    if name in weights:
      if weights[name].shape[-1] != size:
        raise ValueError(f'weights of bank {name} have shape {weights[name].shape}, expected (batch, {size})')
      columns = basis[:, first : first + size]
      shifts[name] = jnp.matmul(weights[name], columns.T, precision=jax.lax.Precision.HIGHEST)
    first += size
  return shifts


def direction(weights: Mapping[str, jax.Array], basis: jax.Array, config: ModelConfig) -> jax.Array:
  """Returns the total shift, float32[batch, style_dim]: the sum of `directions`."""
  return sum(directions(weights, basis, config).values())


def relative_weights(
  source: Mapping[str, jax.Array], driver: Mapping[str, jax.Array], start: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
  """Motion of the driver since its first frame, added to the source's own (LIA's relative mode, `h_start`).

  Args:
    source: weights of the source image, bank name -> float32[batch, size].
    driver: weights of the driving frame.
    start: weights of the first driving frame, whose pose the source is assumed to share.

  Returns:
    Weights of the banks that all three have: driver - start + source.
  """
  return {name: driver[name] - start[name] + source[name] for name in driver if name in source and name in start}
