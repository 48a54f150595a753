"""Expression from what is said and how (EDTalk, Sec. 3.4; official stub, `TextAudioExpClassifier`).

Each modality has a branch of its own; the branches meet in a small head. A modality that is not known is zero after its
branch, so that either alone is enough. The stub's BatchNorm is LayerNorm here: nothing depends on the rest of the
batch, and there are no running statistics.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from edtalk_jax import ops

Array = jax.Array

MODALITIES = ('audio', 'text')
LEAST_DEVIATION = 1e-3  # of a feature; one that never varies in the first batch says nothing


class SemanticExpression(nn.Module):
  """Expression weights of a clip from features of its sound and of its words.

  What is learned counts from `neutral`: zero, or the mean weights of faces that feel nothing.

  Attributes:
    features: expression weights.
    audio, text: lengths of the features.
    width: of the hidden layers; branches end in half of it.
  """

  features: int = 10
  audio: int = 1024
  text: int = 768
  width: int = 512

  def setup(self):
    """Names the parts, which are also parameter paths."""
    sizes = {'target': self.features, 'audio': self.audio, 'text': self.text}
    self.scales = {
      name: (
        self.param(f'{name}_mean', nn.initializers.zeros, (size,)),
        self.param(f'{name}_deviation', nn.initializers.ones, (size,)),
      )
      for name, size in sizes.items()
    }
    self.neutral = self.param('neutral', nn.initializers.zeros, (self.features,))
    self.branches = {name: Branch(self.width, name=name) for name in MODALITIES}
    self.hidden = nn.Dense(self.width)
    self.last = nn.Dense(self.features)

  def standardise(self, name: str, values: Array) -> Array:
    """'target', 'audio' or 'text' -> values of about mean 0 and variance 1."""
    mean, deviation = self.scales[name]
    return (values - ops.expand_like(mean, values)) / ops.expand_like(deviation, values)

  def restore(self, target: Array) -> Array:
    """Standardised expression weights -> expression weights, of an average person."""
    return self.destandardise(target) + ops.expand_like(self.neutral, target)

  def destandardise(self, target: Array) -> Array:
    """Standardised expression weights -> expression weights, from what they count from."""
    mean, deviation = self.scales['target']
    return target * ops.expand_like(deviation, target) + ops.expand_like(mean, target)

  def __call__(self, audio: Array, text: Array, known: Array) -> Array:
    """Maps audio[batch, audio] and text[batch, text] to standardised weights, float32[batch, features].

    `known`, float32[batch, 2], is 1 where audio, text may be used.
    """
    inputs = {'audio': audio, 'text': text}
    found = [
      known[:, k, None] * self.branches[name](self.standardise(name, inputs[name])) for k, name in enumerate(MODALITIES)
    ]
    return self.last(nn.relu(self.hidden(nn.relu(jnp.concatenate(found, -1)))))

  def start(self, target: Array, neutral: Array, audio: Array, text: Array, known: Array) -> dict[str, Array]:
    """Means and deviations by path, from the first batch; of features, over the examples that have them."""
    found = {'neutral': jnp.mean(neutral, 0)}
    there = jnp.ones(len(target)), known[:, 0], known[:, 1]
    for name, values, weight in zip(('target', *MODALITIES), (target, audio, text), there, strict=True):
      share = weight[:, None] / jnp.maximum(jnp.sum(weight), 1)
      mean = jnp.sum(share * values, 0)
      deviation = jnp.sqrt(jnp.sum(share * (values - mean[None]) ** 2, 0))
      # A word that the first batch lacks would otherwise count a thousand times as much as others later.
      least = jnp.maximum(jnp.sqrt(jnp.mean(deviation**2)) / 2, LEAST_DEVIATION)
      found |= {f'{name}_mean': mean, f'{name}_deviation': jnp.maximum(deviation, least)}
    return found


class Branch(nn.Module):
  """One modality: two hidden layers, of which the second is half as wide.

  Attributes:
    width: of the first.
  """

  width: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps x[batch, any] to [batch, width / 2]."""
    x = nn.LayerNorm(name='norm')(nn.relu(nn.Dense(self.width, name='dense_0')(x)))
    return nn.Dense(self.width // 2, name='dense_2')(nn.relu(nn.Dense(self.width, name='dense_1')(x)))
