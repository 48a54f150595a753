"""Test lists: exactly which portraits, drivers and frames were measured, so that two people compare like with like."""

import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from edtalk_jax.config import UserError
from edtalk_jax.evaluation.protocols import ClipInfo, Driving

FILE = 'test_list.json'
_CLIPS = ('source', 'mouth', 'pose')


def to_json(drivings: Sequence[Driving], infos: Sequence[ClipInfo]) -> dict[str, Any]:
  """Names every sequence by its clips, in order, with a digest of them all."""
  sequences = [
    {'protocol': d.protocol, **{name: infos[getattr(d, name)].clip_id for name in _CLIPS}, 'frames': list(d.frames)}
    for d in drivings
  ]
  return {'sha256': digest(sequences), 'sequences': sequences}


def digest(sequences: Sequence[dict[str, Any]]) -> str:
  """SHA-256 of the sequences, hexadecimal; equal lists have equal digests, whoever wrote them."""
  return hashlib.sha256(json.dumps(list(sequences), sort_keys=True, separators=(',', ':')).encode()).hexdigest()


def read(path: str | pathlib.Path, infos: Sequence[ClipInfo]) -> list[Driving]:
  """Returns the sequences that a file of `to_json` names, with the clips of this data set.

  Raises:
    UserError: in one line, if it is no such file, was changed, or names a clip or a frame that is not here.
  """
  try:
    content = json.loads(pathlib.Path(path).read_bytes())
    sequences, promised = content['sequences'], content['sha256']
  except OSError as error:
    raise UserError(f'--same-as {path}: {error.strerror}') from None
  except (ValueError, KeyError, TypeError):
    raise UserError(f'--same-as {path}: not a list that eval.py wrote') from None
  if digest(sequences) != promised:
    raise UserError(f'--same-as {path}: its sequences are not those of its sha256; it was changed by hand')
  number = {info.clip_id: k for k, info in enumerate(infos)}
  drivings = []
  for sequence in sequences:
    for name in _CLIPS:
      clip = sequence[name]
      if clip not in number:
        raise UserError(f'--same-as {path}: clip {clip} is not in this split')
      if name != 'source' and sequence['frames'][-1] >= (frames := infos[number[clip]].frames):
        raise UserError(f'--same-as {path}: frame {sequence["frames"][-1]} of clip {clip}, which has {frames} frames')
    drivings.append(
      Driving(sequence['protocol'], *(number[sequence[name]] for name in _CLIPS), tuple(sequence['frames']))
    )
  return drivings
