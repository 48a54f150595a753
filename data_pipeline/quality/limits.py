"""The thresholds of all filters in one place; docs/quality.md says what each was measured on."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
  """What a clip must fulfil. The defaults reject what is unusable and leave taste to you; `ACCEPT_ALL` rejects nothing.

  Attributes:
    min_face: pixels of the source from brows to chin, the median over frames.
    min_sharpness: variance of the Laplacian of the face, see `pictures.sharpness`.
    max_jitter: % of the inter-ocular distance, see `faces.jitter`.
    max_yaw, max_pitch, max_roll: degrees by which the median head may be turned.
    max_cut: grey levels, see `pictures.cut`.
    min_loudness: dB below full scale; quieter sound is dropped, as digital silence is, and the pictures are kept.
    duplicates: whether a clip that shows what another one shows is rejected.
    max_shift: frames by which sound is moved at most to be in step; 0 leaves all sound where it is.
    trust: confidence from which a measured offset is believed and corrected, see `synchrony`.
    distrust_sound: confidence from which a clip is rejected whose offset is larger than `max_shift`.
  """

  min_face: float = 24.0
  min_sharpness: float = 20.0
  max_jitter: float = 8.0
  max_yaw: float = 60.0
  max_pitch: float = 45.0
  max_roll: float = 45.0
  max_cut: float = 13.0
  min_loudness: float = -60.0
  duplicates: bool = True
  max_shift: int = 10
  trust: float = 0.3
  distrust_sound: float = 0.4

  def __post_init__(self):
    for name in (
      'min_face',
      'min_sharpness',
      'max_jitter',
      'max_yaw',
      'max_pitch',
      'max_roll',
      'max_cut',
      'trust',
      'distrust_sound',
    ):
      if not getattr(self, name) >= 0:
        raise ValueError(f'{name} must be at least 0, got {getattr(self, name)}')
    if not 0 <= self.max_shift <= 15:
      raise ValueError(f'max_shift must be between 0 and 15 frames, got {self.max_shift}')


ACCEPT_ALL = Limits(
  min_face=0,
  min_sharpness=0,
  max_jitter=float('inf'),
  max_yaw=180,
  max_pitch=180,
  max_roll=180,
  max_cut=float('inf'),
  min_loudness=float('-inf'),
  duplicates=False,
  max_shift=0,
  trust=float('inf'),
  distrust_sound=float('inf'),
)
