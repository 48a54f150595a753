"""The lip-sync expert: sound and lips of 200 ms in one space, near each other if they belong together (SyncNet).

SyncNet (Chung & Zisserman, 2016) as Wav2Lip has it (`SyncNet_color`), which EDTalk takes over.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from edtalk_jax.networks.audio import MEL_BANDS, MEL_COLUMNS, ConvStack, Layer, same

FRAMES, FACE_SIZE = 5, 96  # pictures of a window; side of the face crop in pixels, of which the lower half is seen
AUDIO = (
  Layer(32),
  *same(32, 2),
  Layer(64, stride=(3, 1)),
  *same(64, 2),
  Layer(128, stride=3),
  *same(128, 2),
  Layer(256, stride=(3, 2)),
  *same(256, 2),
  Layer(512, padding=0),
  Layer(512, side=1, padding=0),
)
FACE = (
  Layer(32, side=7, padding=3),
  Layer(64, side=5, stride=(1, 2)),
  *same(64, 2),
  Layer(128, stride=2),
  *same(128, 3),
  Layer(256, stride=2),
  *same(256, 2),
  Layer(512, stride=2),
  *same(512, 2),
  Layer(512, stride=2),
  Layer(512, padding=0),
  Layer(512, side=1, padding=0),
)


def lower_halves(faces: jax.Array) -> jax.Array:
  """Stacks the lower halves of a window's faces, frame by frame: [batch, 5, 96, 96, 3] -> [batch, 48, 96, 15]."""
  batch, frames, size, _, channels = faces.shape
  lower = faces[:, :, size // 2 :]
  return lower.transpose(0, 2, 3, 1, 4).reshape(batch, size // 2, size, frames * channels)


class SyncExpert(nn.Module):
  """Embeds a window's sound and its lips. As both embeddings end in a ReLU, their cosine is in [0, 1], a probability.

  Attributes:
    width: multiplies all channels; only 1 fits released weights.
  """

  width: float = 1.0

  def setup(self):
    """Names the parts, which are also parameter paths."""
    self.face = ConvStack(FACE, self.width)
    self.audio = ConvStack(AUDIO, self.width)

  def __call__(self, mel: jax.Array, faces: jax.Array, *, train: bool = False) -> tuple[jax.Array, jax.Array]:
    """Returns unit embeddings of the sound and of the lips, float32[batch, 512 * width] each.

    Args:
      mel: float32[batch, 80, 16], the window that begins with the first of the faces.
      faces: [batch, 5, 96, 96, 3], consecutive face crops. A released Wav2Lip expert wants BGR in [0, 1].
      train: see `BatchNorm`.

    Raises:
      ValueError: on inputs of another shape.
    """
    return self.listen(mel, train=train), self.look(faces, train=train)

  def listen(self, mel: jax.Array, *, train: bool = False) -> jax.Array:
    """Returns the unit embedding of the sound alone; see `__call__`."""
    if mel.shape[1:] != (MEL_BANDS, MEL_COLUMNS):
      raise ValueError(f'mel has shape {mel.shape}, expected [batch, {MEL_BANDS}, {MEL_COLUMNS}]')
    return _unit(self.audio(mel[..., None], train=train))

  def look(self, faces: jax.Array, *, train: bool = False) -> jax.Array:
    """Returns the unit embedding of the lips alone; see `__call__`."""
    if faces.shape[1:] != (FRAMES, FACE_SIZE, FACE_SIZE, 3):
      raise ValueError(f'faces has shape {faces.shape}, expected [batch, {FRAMES}, {FACE_SIZE}, {FACE_SIZE}, 3]')
    return _unit(self.face(lower_halves(faces), train=train))


def _unit(x: jax.Array) -> jax.Array:
  """Scales to length one; PyTorch's `normalize` divides by at least 1e-12 as well."""
  return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), 1e-24))
