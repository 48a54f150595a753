"""Lips in pictures and how well they fit a sound: what stages sync_expert and audio_to_mouth share."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax import ops, storage
from edtalk_jax.config import AudioConfig, UserError
from edtalk_jax.networks import audio
from edtalk_jax.networks.audio import MEL_BANDS, MEL_COLUMNS
from edtalk_jax.networks.sync_expert import FACE_SIZE, FRAMES, SyncExpert
from edtalk_jax.stages.losses import merge_views, split_views
from edtalk_jax.stages.stage import Params

Array = jax.Array
LEAST = 1e-7  # a probability below counts as this; PyTorch's BCELoss clamps the logarithm at -100


def fields(size: int) -> dict[str, jax.ShapeDtypeStruct]:
  """The fields of a window that are no single picture: frames and the face boxes in them."""
  return {
    'frames': jax.ShapeDtypeStruct((FRAMES, size, size, 3), np.uint8),
    'boxes': jax.ShapeDtypeStruct((FRAMES, 4), np.float32),
  }


def mel(*axes: int) -> jax.ShapeDtypeStruct:
  """A field of mel windows."""
  return jax.ShapeDtypeStruct((*axes, MEL_BANDS, MEL_COLUMNS), np.float32)


def faces(images: Array, boxes: Array) -> Array:
  """Cuts the faces out of [batch, 5, height, width, 3]: float32[batch, 5, 96, 96, 3]."""
  return split_views(ops.crop(merge_views(images), merge_views(boxes), FACE_SIZE), images.shape[1])


def agreement(sound: Array, lips: Array) -> Array:
  """Cosine of unit embeddings [batch, features], float32[batch]: the probability that they belong together."""
  return jnp.sum(sound * lips, axis=-1)


def surprise(probability: Array) -> Array:
  """-log p, the binary cross-entropy of a probability that should be one."""
  return -jnp.log(jnp.maximum(probability, LEAST))


class Expert:
  """A frozen sync expert with the conventions it was trained with. Holds no arrays.

  Attributes:
    run: workdir of the run of stage sync_expert that its variables come from; '' where a released file has them.
  """

  def __init__(self, config: AudioConfig, network: SyncExpert | None = None):
    """Finds out what `config.sync_expert` names, of the size in `config` unless `network` is another.

    Raises:
      UserError: if there is no such thing.
    """
    name = storage.local(config.sync_expert)
    path = pathlib.Path(name)
    remote = storage.is_remote(name)  # files are read here, runs anywhere
    if not remote and not path.exists():
      raise UserError(f'audio.sync_expert={name}: no such run or file')
    self.run = name if remote or path.is_dir() else ''
    self._path, self._network = path, network or SyncExpert(config.width if self.run else 1.0)

  def init(self) -> Params:
    """Returns its variables: the file's, or drawn ones in whose place those of the run are put."""
    if self.run:
      return draw(self._network, jax.random.key(0))
    from edtalk_jax.weights import sound  # needed only with a weights file

    try:
      return sound.load_sync_expert(self._path)
    except ValueError as error:
      raise UserError(f'audio.sync_expert: {error}') from None

  def agreement(self, variables: Params, mel: Array, faces: Array) -> Array:
    """How likely mel [batch, 80, 16] belongs to faces [batch, 5, 96, 96, 3] in [-1, 1], float32[batch].

    EDTalk's trainer gives its expert RGB in [-1, 1], as ours is trained; Wav2Lip's was trained on BGR in [0, 1].
    """
    faces = faces if self.run else (faces[..., ::-1] + 1) / 2
    return agreement(*self._network.apply(variables, mel, faces))


def draw(expert: SyncExpert, key: Array) -> Params:
  """Returns fresh variables of an expert, {'params', 'batch_stats'}."""
  faces = jnp.zeros((1, FRAMES, FACE_SIZE, FACE_SIZE, 3))
  return audio.draw(expert, key, jnp.zeros((1, MEL_BANDS, MEL_COLUMNS)), faces)
