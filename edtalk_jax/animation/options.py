"""How a portrait is animated: every choice that is not a file."""

import dataclasses
from typing import get_args

from data_pipeline import media
from edtalk_jax.animation import framing, timeline
from edtalk_jax.config import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """Checks itself when built.

  Attributes:
    fps: frames per second of drivers and output.
    extend: how drivers shorter than the output go on; see `timeline.extended`.
    smooth: standard deviation in frames of the Gaussian that smooths all motion in time; 0: none.
    crop: find the face in every input and frame it as in training (needs the extra `faces`); False: the largest centred
      square of each.
    face: which face of a portrait; see `framing.portrait`.
    paste: put the painted face back into the picture that it was cut from; False: the face alone, as the model paints.
    longest: pixels of the longer side of pictures that are pasted into; larger ones are scaled down.
    upscale: ONNX file of a super-resolution network that painted faces go through; '': none.
    upscale_signed: whether its pictures are in [-1, 1], rather than in [0, 1].

  Raises:
    UserError: in one line, on a value out of range.
  """

  fps: float = media.FPS
  extend: timeline.Extend = 'hold'
  smooth: float = 0.0
  crop: bool = True
  face: str = framing.LARGEST
  paste: bool = False
  longest: int = 1920
  upscale: str = ''
  upscale_signed: bool = False

  @property
  def limit(self) -> int | None:
    """What pictures are scaled down to: only those that are pasted into."""
    return self.longest if self.paste else None

  def __post_init__(self):
    """Checks every value."""
    _check(1 <= self.fps <= 120, 'fps', self.fps, '1 to 120')
    _check(self.extend in get_args(timeline.Extend), 'extend', self.extend, ', '.join(get_args(timeline.Extend)))
    _check(0 <= self.smooth <= 100, 'smooth', self.smooth, '0 to 100 frames')
    numbered = self.face.isdecimal() and int(self.face) > 0
    _check(
      numbered or self.face in (framing.LARGEST, framing.ONLY), 'face', self.face, 'largest, only, or a number from 1'
    )
    _check(64 <= self.longest <= 8192, 'longest', self.longest, '64 to 8192 pixels')


def _check(right: bool, name: str, value, expected: str) -> None:
  if not right:
    raise UserError(f'--{name} {value}: expected {expected}')
