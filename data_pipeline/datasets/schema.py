"""The one description of a record: a clip of one face, at most a few seconds long.

Every builder stores `features()`; `Record` is the same in Python. Later builders may add fields, never change these.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds

VERSION = '1.0.0'  # of the record format


@dataclasses.dataclass(frozen=True, kw_only=True)
class Truth:
  """What is known exactly of a rendered clip; real video has none.

  Attributes:
    factor_names: columns of `factors`, see `data_pipeline.synthetic.factors`.
    factors: float32[n, factors], what each frame was rendered from.
    identity_factors: float32[identity factors], see `data_pipeline.synthetic.identity.Identity.vector`.
    masks: uint8[bytes], all frames' labels (`data_pipeline.synthetic.parts.LABELS`) as grey PNG, one after the other.
    mask_ends: int64[n], where each frame ends in `masks`.
  """

  factor_names: tuple[str, ...]
  factors: np.ndarray
  identity_factors: np.ndarray
  masks: np.ndarray
  mask_ends: np.ndarray

  def __post_init__(self):
    shape = (len(self.mask_ends), len(self.factor_names))
    if self.factors.shape != shape:
      raise ValueError(f'factors must have shape {shape}, got {self.factors.shape}')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
  """One clip.

  Attributes:
    clip_id: unique name: video_id, '#' and the number of the clip in its video from 1 ('RD_Radio1_000#1'), or video_id
      alone where a video is never cut (MEAD, 'M003#angry#level_1#001').
    video_id: name of the source in its data set, else its path below the prepared folder without its ending.
    identity: the person; never in two splits.
    emotion: angry, contempt, disgusted, fear, happy, neutral, sad, surprised, mixed; '' if unknown.
    emotion_level: 1 to 3 (MEAD); 0 if unknown.
    source_sha256: hexadecimal digest of the source file.
    begin_frame: first frame in the source at `fps`.
    fps: frames per second (25).
    size: side of the frames in pixels.
    jpeg: uint8[bytes], all frames as JPEG (RGB, size x size), one after the other: one field instead of a list is
      read four times faster.
    jpeg_ends: int64[n], where each frame ends in `jpeg`.
    landmarks: float32[n, 68, 2], (x, y) pixels of the stored frames, iBUG-68 order; may lie outside.
    landmarks_valid: uint8[n], 1 where the landmarks were found in this frame, 0 where they are interpolated.
    face_boxes: float32[n, 4], the detector's box (left, top, right, bottom), pixels of the stored frames.
    crop_box: float32[3], the square (left, top, side) in pixels of the source, upright.
    has_audio: whether the clip has a usable sound track.
    waveform: int16[samples], 16 kHz, mono, sample 0 at frame 0, exactly 640 samples a frame; empty without audio.
    mel: float32[columns, 80], `audio_features.mel_spectrogram` of the waveform; empty without audio.
    av_offset: frames by which the sound is known to be late (positive) in the waveform; 0 if unknown.
    truth: what a rendered clip was made from; None for real video.
  """

  clip_id: str
  video_id: str
  identity: str
  emotion: str = ''
  emotion_level: int = 0
  source_sha256: str = ''
  begin_frame: int = 0
  fps: float = 25.0
  size: int
  jpeg: np.ndarray
  jpeg_ends: np.ndarray
  landmarks: np.ndarray
  landmarks_valid: np.ndarray
  face_boxes: np.ndarray
  crop_box: np.ndarray
  has_audio: bool = False
  waveform: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int16))
  mel: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 80), np.float32))
  av_offset: int = 0
  truth: Truth | None = None

  def __post_init__(self):
    count = len(self.jpeg_ends)
    for name, shape in (
      ('landmarks', (count, 68, 2)),
      ('landmarks_valid', (count,)),
      ('face_boxes', (count, 4)),
      ('crop_box', (3,)),
    ):
      if getattr(self, name).shape != shape:
        raise ValueError(f'{name} of clip {self.clip_id} must have shape {shape}, got {getattr(self, name).shape}')

  def frame_jpeg(self, index: int) -> bytes:
    """Returns the JPEG file of frame `index` (from 0, or from the end if negative)."""
    index = range(len(self.jpeg_ends))[index]
    begin = self.jpeg_ends[index - 1] if index else 0
    return self.jpeg[begin : self.jpeg_ends[index]].tobytes()

  def mask_png(self, index: int) -> bytes:
    """Returns the PNG file of the labels of frame `index`. Raises ValueError where there is no `truth`."""
    if self.truth is None:
      raise ValueError(f'clip {self.clip_id} has no masks: only rendered clips have')
    index = range(len(self.truth.mask_ends))[index]
    begin = self.truth.mask_ends[index - 1] if index else 0
    return self.truth.masks[begin : self.truth.mask_ends[index]].tobytes()


def join_jpeg(frames: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
  """Returns the fields `jpeg` and `jpeg_ends` (or those of masks) for a list of picture files."""
  return np.frombuffer(b''.join(frames), np.uint8), np.cumsum([len(frame) for frame in frames], dtype=np.int64)


def features(truth: bool = False) -> tfds.features.FeaturesDict:
  """Returns the TFDS features of `Record`; arrays are stored as raw bytes, which TFDS decodes without TensorFlow.

  Args:
    truth: with the fields of `Truth`.
  """

  def array(shape, dtype):
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding=tfds.features.Encoding.BYTES)

  text = tfds.features.Text()
  known = {
    'factor_names': text,
    'factors': array((None, None), np.float32),
    'identity_factors': array((None,), np.float32),
    'masks': array((None,), np.uint8),
    'mask_ends': array((None,), np.int64),
  }
  return tfds.features.FeaturesDict(
    {
      'clip_id': text,
      'video_id': text,
      'identity': text,
      'emotion': text,
      'emotion_level': np.int64,
      'source_sha256': text,
      'begin_frame': np.int64,
      'fps': np.float32,
      'size': np.int64,
      'jpeg': array((None,), np.uint8),
      'jpeg_ends': array((None,), np.int64),
      'landmarks': array((None, 68, 2), np.float32),
      'landmarks_valid': array((None,), np.uint8),
      'face_boxes': array((None, 4), np.float32),
      'crop_box': array((3,), np.float32),
      'has_audio': np.int64,
      'waveform': array((None,), np.int16),
      'mel': array((None, 80), np.float32),
      'av_offset': np.int64,
      **(known if truth else {}),
    }
  )


def to_example(record: Record) -> dict:
  """Returns what a builder yields for `record`."""
  example = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
  example['has_audio'] = int(record.has_audio)
  truth = example.pop('truth')
  if truth is not None:
    example |= {field.name: getattr(truth, field.name) for field in dataclasses.fields(truth)}
    example['factor_names'] = ' '.join(truth.factor_names)
  return example


def from_example(example: dict) -> Record:
  """The inverse of `to_example` for what TFDS reads back; unknown fields (of later builders) are ignored."""
  values = {}
  for field in dataclasses.fields(Record):
    if field.name == 'truth':
      continue
    value = example[field.name]
    values[field.name] = value.decode() if isinstance(value, bytes) else value
  values['has_audio'] = bool(values['has_audio'])
  for name in ('emotion_level', 'begin_frame', 'size', 'av_offset'):
    values[name] = int(values[name])
  return Record(**values, truth=_truth(example))


def _truth(example: dict) -> Truth | None:
  if 'factor_names' not in example:
    return None
  values = {field.name: example[field.name] for field in dataclasses.fields(Truth)}
  return Truth(**{**values, 'factor_names': tuple(example['factor_names'].decode().split())})
