"""Head pose from sound: a normalising flow over sequences of pose weights (EDTalk, Sec. 3.4; sizes are ours).

Weights are standardised, and predicted linearly from the two frames before. What that leaves of them, x[batch, frames,
channels], the flow maps to noise z of the same shape, given sound and the pose of the first frame, and back. A step is
an actnorm, a mixing of the channels and an affine coupling (`ops.flow`). All steps have one shape, so their parameters
are stacked along a leading axis and a scan runs them.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from edtalk_jax.ops import expand_like, flow

Array = jax.Array

SOUND_SIZE, SOUND_LAYERS = 5, 3  # taps and number of the temporal convolutions over the sound
TAPS = 3  # of the gated convolutions; those of layer l are 2^l frames apart
LIMIT = 1.5  # of the logarithm of a coupling's scale, either way


class PoseFlow(nn.Module):
  """Density and samples of pose weights, given sound and the first frame's pose.

  Attributes:
    channels: pose weights.
    steps: of the flow.
    hidden: width of the couplings' networks.
    layers: gated convolutions of each.
    condition: width of what is known of the sound, and of the first pose.
  """

  channels: int = 6
  steps: int = 8
  hidden: int = 128
  layers: int = 4
  condition: int = 128

  def setup(self):
    """Names the parts, which are also parameter paths."""
    if self.channels < 2:
      raise ValueError(f'channels must be at least 2, so that one can tell of another, got {self.channels}')
    self.mean = self.param('mean', nn.initializers.zeros, (self.channels,))
    self.deviation = self.param('deviation', nn.initializers.ones, (self.channels,))
    self.predictor = self.param('predictor', nn.initializers.zeros, (2, self.channels, self.channels))
    self.sound = Sound(self.condition)
    self.first_pose = nn.Dense(self.condition)
    self.stacked = Steps(self.channels, self.steps, self.hidden, self.layers, 2 * self.condition)

  @property
  def reach(self) -> int:
    """Frames of sound and noise, back and ahead, that a frame's pose depends on."""
    return self.steps * (TAPS // 2) * (2**self.layers - 1) + SOUND_LAYERS * (SOUND_SIZE // 2)

  def standardise(self, weights: Array) -> Array:
    """Pose weights [..., channels] -> x of about mean 0 and variance 1."""
    return (weights - expand_like(self.mean, weights)) / expand_like(self.deviation, weights)

  def restore(self, x: Array) -> Array:
    """The inverse of `standardise`."""
    return x * expand_like(self.deviation, x) + expand_like(self.mean, x)

  def innovations(self, x: Array) -> Array:
    """Standardised weights [batch, frames, channels] -> what linear prediction leaves of all but the first frame."""
    return flow.innovations(x, self.predictor)

  def compose(self, found: Array, first: Array) -> Array:
    """The inverse of `innovations`, after the standardised pose first[batch, channels]."""
    return flow.compose(found, self.predictor, first)

  def known(self, sound: Array, first: Array, valid: Array) -> Array:
    """What the flow is told: sound[batch, frames, features], first[batch, channels] -> [batch, frames, 2 condition].

    `first` is standardised; frames that are not valid[batch, frames] count as silence beyond the end.
    """
    heard = self.sound(sound, valid)
    pose = jnp.broadcast_to(self.first_pose(first)[:, None], heard.shape)
    return jnp.concatenate([heard, pose], -1)

  def __call__(self, x: Array, sound: Array, first: Array, valid: Array) -> tuple[Array, Array]:
    """Maps x[batch, frames, channels] to (z of that shape, log |det dz/dx| of each frame, [batch, frames])."""
    return self.forward(x, self.known(sound, first, valid), valid)

  def forward(self, x: Array, known: Array, valid: Array) -> tuple[Array, Array]:
    """The same, of what `known` gives."""
    return self.stacked.forward(x, known, valid)

  def inverse(self, z: Array, known: Array, valid: Array) -> Array:
    """Maps z back to x, given what `known` gives."""
    return self.stacked.inverse(z, known, valid)

  def start(self, weights: Array, sound: Array, valid: Array) -> dict[str, Array]:
    """The parameters that depend on data, by path: standardisation, prediction, every actnorm."""
    mean, deviation = flow.moments(weights, valid)
    deviation = jnp.maximum(deviation, 1e-4)
    x = (weights - expand_like(mean, weights)) / expand_like(deviation, weights)
    predictor = flow.predictor_start(x, valid)
    left, later = flow.innovations(x, predictor), valid[:, 1:]
    log_scale, shift = self.stacked.start(left, self.known(sound[:, 1:], x[:, 0], later), later)
    fixed = {'mean': mean, 'deviation': deviation, 'predictor': predictor}
    return {**fixed, 'stacked/log_scale': log_scale, 'stacked/shift': shift}


class Sound(nn.Module):
  """Sound around every frame.

  Attributes:
    features: width.
  """

  features: int

  @nn.compact
  def __call__(self, sound: Array, valid: Array) -> Array:
    """Maps sound[batch, frames, any] to [batch, frames, features]."""
    x = nn.Dense(self.features, name='input')(sound)
    for layer in range(SOUND_LAYERS):
      shape = (SOUND_SIZE, self.features, self.features)
      kernel = self.param(f'kernel_{layer}', nn.initializers.lecun_normal(in_axis=(0, 1)), shape)
      bias = self.param(f'bias_{layer}', nn.initializers.zeros, (self.features,))
      x = x + nn.gelu(flow.temporal_conv(x * valid[..., None], kernel) + expand_like(bias, x))
    return x


class Steps(nn.Module):
  """The steps of the flow, their parameters stacked.

  Attributes:
    channels, steps, hidden, layers: see `PoseFlow`.
    known: width of what the couplings are told.
  """

  channels: int
  steps: int
  hidden: int
  layers: int
  known: int

  def setup(self):
    """Declares every parameter with a leading axis of steps. A coupling's last layer is zero: it begins as identity."""
    count, wide, passed = self.steps, 2 * self.hidden, self.channels - self.channels // 2
    drawn = [flow.rotation(self.channels, step) for step in range(count)]
    stack = lambda name: jnp.stack([parts[name] for parts in drawn])
    zeros, random = nn.initializers.zeros, nn.initializers.lecun_normal(batch_axis=0)
    taps = nn.initializers.lecun_normal(in_axis=(1, 2), batch_axis=0)
    self.fixed = {name: stack(name) for name in ('permutation', 'sign')}
    shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
      'log_scale': (zeros, (count, self.channels)),
      'shift': (zeros, (count, self.channels)),
      **{
        name: (lambda key, shape, name=name: stack(name), drawn[0][name].shape)
        for name in ('lower', 'upper', 'log_diagonal')
      },
      'input_kernel': (random, (count, passed, self.hidden)),
      'input_bias': (zeros, (count, self.hidden)),
      'last_kernel': (zeros, (count, self.hidden, 2 * (self.channels // 2))),
      'last_bias': (zeros, (count, 2 * (self.channels // 2))),
    }
    for layer in range(self.layers):
      shapes |= {
        f'gate_{layer}_kernel': (taps, (count, TAPS, self.hidden, wide)),
        f'known_{layer}_kernel': (random, (count, self.known, wide)),
        f'gate_{layer}_bias': (zeros, (count, wide)),
        f'out_{layer}_kernel': (random, (count, self.hidden, self.hidden)),
      }
    self.all = {name: self.param(name, init, shape) for name, (init, shape) in shapes.items()}

  def forward(self, x: Array, known: Array, valid: Array) -> tuple[Array, Array]:
    """Maps x to (z, log |det dz/dx| of each frame)."""

    def step(carry, parts):
      x, change = carry
      x, more = _step(parts, x, known, valid, self.layers)
      return (x, change + more), None

    return jax.lax.scan(step, (x, jnp.zeros(x.shape[:2])), {**self.all, **self.fixed})[0]

  def inverse(self, z: Array, known: Array, valid: Array) -> Array:
    """Maps z to x."""

    def step(y, parts):
      return _step_inverse(parts, y, known, valid, self.layers), None

    return jax.lax.scan(step, z, {**self.all, **self.fixed}, reverse=True)[0]

  def start(self, x: Array, known: Array, valid: Array) -> tuple[Array, Array]:
    """The actnorms' (log_scale, shift), stacked, that standardise what each step is given of x."""

    def step(x, parts):
      log_scale, shift = flow.actnorm_start(x, valid)
      x, _ = _step({**parts, 'log_scale': log_scale, 'shift': shift}, x, known, valid, self.layers)
      return x, (log_scale, shift)

    return jax.lax.scan(step, x, {**self.all, **self.fixed})[1]


def _step(parts: Mapping[str, Array], x: Array, known: Array, valid: Array, layers: int) -> tuple[Array, Array]:
  x, scaled = flow.actnorm(x, parts['log_scale'], parts['shift'])
  x, mixed = flow.mix(x, parts)
  kept, moved = _halves(x)
  moved, coupled = flow.couple(moved, *_coupling(parts, kept, known, valid, layers))
  return jnp.concatenate([kept, moved], -1), scaled + mixed + coupled


def _step_inverse(parts: Mapping[str, Array], y: Array, known: Array, valid: Array, layers: int) -> Array:
  kept, moved = _halves(y)
  moved = flow.couple_inverse(moved, *_coupling(parts, kept, known, valid, layers))
  x = flow.mix_inverse(jnp.concatenate([kept, moved], -1), parts)
  return flow.actnorm_inverse(x, parts['log_scale'], parts['shift'])


def _halves(x: Array) -> tuple[Array, Array]:
  """The channels that a coupling reads, and those that it moves; of an odd number it reads one more."""
  return x[..., : x.shape[-1] - x.shape[-1] // 2], x[..., x.shape[-1] - x.shape[-1] // 2 :]


def _coupling(parts: Mapping[str, Array], kept: Array, known: Array, valid: Array, layers: int) -> tuple[Array, Array]:
  """A coupling's (log scale, shift), from gated convolutions along time (van den Oord et al., 2016, not causal)."""
  h = kept @ parts['input_kernel'] + expand_like(parts['input_bias'], kept)
  for layer in range(layers):
    told = known @ parts[f'known_{layer}_kernel'] + expand_like(parts[f'gate_{layer}_bias'], known)
    both = flow.temporal_conv(h * valid[..., None], parts[f'gate_{layer}_kernel'], 2**layer) + told
    value, gate = jnp.split(both, 2, axis=-1)
    h = h + (jnp.tanh(value) * jax.nn.sigmoid(gate)) @ parts[f'out_{layer}_kernel']
  log_scale, shift = jnp.split(h @ parts['last_kernel'] + expand_like(parts['last_bias'], h), 2, axis=-1)
  return LIMIT * jnp.tanh(log_scale), shift
