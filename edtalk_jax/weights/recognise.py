"""Which official networks a weights file holds."""

from typing import NamedTuple

from edtalk_jax.weights.files import Content
from edtalk_jax.weights.official import NETWORKS
from edtalk_jax.weights.tensors import Tensors

# Beginnings of names that say which network a state dict is: the first network of which there is any. A state dict that
# lacks one of its tensors is recognised all the same, so that the missing one can be named.
SIGNS = {
  'edtalk': ('exp_fc.', 'direction_exp.', 'dec.fineadainresblock.'),
  'lip_pose': ('lip_fc.', 'pose_fc.', 'direction_lipnonlip.'),
  'lia': ('enc.fc.', 'dec.direction.'),
  'discriminator': ('final_conv.', 'final_linear.'),
  'syncnet': ('face_encoder.',),
  'audio2lip': ('mapping.',),
  'vgg19': ('vgg.slice', 'features.'),
}
WAV2LIP = 'face_decoder_blocks.'


class Found(NamedTuple):
  """The networks of a file, and the names of what else is in it."""

  networks: dict[str, Tensors]
  others: tuple[str, ...]


def networks(content: Content, kind: str | None = None) -> Found:
  """Tells the networks of a file by their tensors' names.

  Args:
    content: of the file.
    kind: what its only state dict is, instead of telling it by names.

  Raises:
    ValueError: in one line, if there is none, or one twice.
  """
  if kind is not None and kind not in NETWORKS:
    raise ValueError(f'kind must be one of {", ".join(NETWORKS)}, got {kind!r}')
  found, others = {}, [*content.others]
  for group, tensors in content.groups.items():
    tensors = {name.removeprefix('module.'): tensor for name, tensor in tensors.items()}
    network = kind if kind and len(content.groups) == 1 else _network(tensors)
    if network is None or (kind and network not in (kind, 'discriminator')):
      others.append(group)
    elif network in found:
      raise ValueError(f'it holds two networks {network}')
    else:
      found[network] = tensors
  if not found:
    raise ValueError(_nothing(content))
  return Found(found, tuple(others))


def _network(tensors: Tensors) -> str | None:
  return next((network for network, signs in SIGNS.items() if any(name.startswith(signs) for name in tensors)), None)


def _nothing(content: Content) -> str:
  names = [name for tensors in content.groups.values() for name in tensors]
  if any(WAV2LIP in name for name in names):
    return "it is Wav2Lip's generator, whose audio encoder can begin stage audio_to_mouth: --set audio.encoder=FILE"
  first = f' (its first tensor is {names[0]})' if names else ''
  return f'it holds none of {", ".join(NETWORKS)}{first}'
