"""One raw video to clip records, or a reason why not: a pure function of the file and the config.

The video is decoded twice, once to follow the face and once to cut it out, so that memory holds one clip and never the
whole video.
"""

import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from data_pipeline import audio_features, cropping, cutting, media, thumbnails, tracking
from data_pipeline.errors import DataError, RejectedVideo
from data_pipeline.quality import pictures, synchrony, verdict
from data_pipeline.quality.limits import Limits

# Part of the key under which finished work is kept: raise it when the same input would give another output.
PIPELINE_VERSION = 5
_SAMPLES_PER_FRAME = media.AUDIO_RATE // media.FPS


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareConfig:
  """How videos become clips."""

  size: int = 256  # pixels, side of the stored frames
  quality: int = 92  # JPEG
  longest: int = 125  # frames of a clip (5 s)
  shortest: int = 25  # frames; shorter runs of a face are rejected
  detect_every: int = 5  # frames between two searches for faces
  min_face: int = 48  # pixels, side of the crop in the source; smaller faces are rejected
  max_invalid: float = 0.5  # share of frames without a detected face above which a clip is rejected
  min_audio: float = 0.9  # share of a clip that its sound must cover; the rest is silence
  crop: str = cropping.FACE  # which square is cut out, see `cropping`
  template: tuple[tuple[float, float], ...] = ()  # 68 points in shares of the crop, for crop='template'
  limits: Limits = dataclasses.field(default_factory=Limits)  # what a clip must fulfil

  def __post_init__(self):
    for name, low, high in (
      ('size', 16, 4096),
      ('quality', 1, 100),
      ('longest', 1, 100_000),
      ('shortest', 1, 100_000),
      ('detect_every', 1, 1000),
      ('min_face', 1, 4096),
      ('max_invalid', 0, 1),
      ('min_audio', 0, 1),
    ):
      value = getattr(self, name)
      if not low <= value <= high:
        raise ValueError(f'{name} must be between {low} and {high}, got {value}')
    if self.shortest > self.longest:
      raise ValueError(f'shortest must be at most longest = {self.longest}, got {self.shortest}')
    if self.crop not in cropping.CROPS:
      raise ValueError(f'crop must be one of {", ".join(cropping.CROPS)}, got {self.crop}')
    if (self.crop == cropping.TEMPLATE) != bool(self.template):
      raise ValueError(f'template must be given with crop {cropping.TEMPLATE} and only then, crop is {self.crop}')

  def fingerprint(self) -> str:
    """Returns a digest of all settings and of the code's version."""
    text = json.dumps([PIPELINE_VERSION, dataclasses.asdict(self)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreparedClip:
  """A clip cut from a video; fields as in `datasets.schema.Record`."""

  number: int  # from 1; 0 if the clip has its video's name
  begin_frame: int
  frames: list[bytes]
  landmarks: np.ndarray
  landmarks_valid: np.ndarray
  face_boxes: np.ndarray
  crop_box: np.ndarray
  has_audio: bool
  waveform: np.ndarray
  mel: np.ndarray
  notes: tuple[str, ...] = ()  # what a user may want to know, e.g. that there were several faces
  measures: Mapping[str, float | int | None] = dataclasses.field(default_factory=dict)  # `quality.verdict.DIGITS`
  picture_hash: int = 0  # `quality.pictures.picture_hash`


@dataclasses.dataclass(frozen=True)
class RejectedClip:
  """A run of frames of the source that gives no clip."""

  begin_frame: int
  count: int
  reason: str
  measures: Mapping[str, float | int | None] = dataclasses.field(default_factory=dict)  # {} if it was not cut out
  thumbnail: str = ''  # `thumbnails.of`


@dataclasses.dataclass(frozen=True)
class _Segment:
  """A clip before its pictures are cut: frames [begin, end) of the excerpt, landmarks in pixels of the source."""

  number: int
  begin: int
  end: int
  landmarks: np.ndarray  # float32[n, 68, 2], gaps interpolated
  valid: np.ndarray  # uint8[n]
  boxes: np.ndarray  # float32[n, 4]
  crop: tuple[int, int, int]
  face: tuple[int, int, int]  # the square that shows the face in every video alike, whatever is cut out
  notes: tuple[str, ...]

  @property
  def count(self) -> int:
    return self.end - self.begin


def prepare_video(
  path: str | os.PathLike,
  config: PrepareConfig,
  detector: tracking.Detector | None = None,
  landmarks: np.ndarray | None = None,
  excerpt: cutting.Excerpt = cutting.ALL,
) -> Iterator[PreparedClip | RejectedClip]:
  """Yields the clips of one video in order, and what of it was rejected.

  Args:
    path: a video.
    config: how.
    detector: finds faces; needed unless `landmarks` are given.
    landmarks: float[frames, 68, 2] in pixels of the video's own upright frames, one for each stored frame, NaN where
      there is no face.
    excerpt: which part of the video, and how it is cut into clips.

  Raises:
    RejectedVideo: if the video gives no clip at all; the message is the reason, without the file's name.
  """
  strip = thumbnails.Strip()
  try:
    tracks, count, (height, width) = _follow(path, config, detector, landmarks, excerpt, strip)
  except media.MediaError as error:
    raise RejectedVideo(str(error).removeprefix(f'{path}: '), strip.at(0)) from None
  if count < config.shortest:
    raise RejectedVideo(
      f'too short: {count} frames at {media.FPS} fps, at least {config.shortest} are needed', strip.at(count // 2)
    )
  if not tracks:
    raise RejectedVideo(f'no face found in {count} frames', strip.at(count // 2))
  segments, rejected = _plan(tracks, config, excerpt, width, height)
  rejected = [dataclasses.replace(run, thumbnail=strip.at(run.begin_frame + run.count // 2)) for run in rejected]
  if not segments:
    raise RejectedVideo('; '.join(dict.fromkeys(r.reason for r in rejected)), rejected[0].thumbnail)
  first = round(excerpt.begin * media.FPS)
  for item in itertools.chain(rejected, _cut(path, segments, config, excerpt)):
    yield dataclasses.replace(item, begin_frame=first + item.begin_frame)


def _follow(path, config: PrepareConfig, detector, landmarks, excerpt: cutting.Excerpt, strip: thumbnails.Strip):
  """First pass: returns (all tracks, number of frames, (height, width)), and leaves pictures on `strip`."""
  shape = [0, 0]

  def watched(frames):
    for frame in strip.watch(frames):
      shape[:] = frame.shape[:2]
      yield frame

  if landmarks is None:
    frames = media.read_frames(path, begin=excerpt.begin, end=excerpt.end)
    tracks, count = tracking.track_faces(watched(frames), detector, config.detect_every)
    return tracks, count, tuple(shape)
  given = GivenLandmarks(landmarks, media.probe(path).stretch)
  indices = []

  def noted():
    for index, frame in media.read_indexed_frames(path, begin=excerpt.begin, end=excerpt.end):
      indices.append(index)
      given.index = index
      yield frame

  tracks, count = tracking.track_faces(watched(noted()), given, every=1)
  # Frames are counted before resampling; the last few may have no slot at 25 fps.
  if indices and indices[-1] >= len(landmarks):
    raise RejectedVideo(f'landmarks given for {len(landmarks)} frames, the video has at least {indices[-1] + 1}')
  return tracks, count, tuple(shape)


class GivenLandmarks:
  """Landmarks from a file in the place of a detector; `index` is the number of the frame asked about.

  `stretch` takes them from stored pixels to square ones (`media.VideoInfo`).
  """

  def __init__(self, landmarks: np.ndarray, stretch: tuple[float, float] = (1.0, 1.0)):
    landmarks = np.asarray(landmarks)
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
      raise RejectedVideo(f'landmarks must have shape [frames, 68, 2], got {list(landmarks.shape)}')
    self._landmarks = ((landmarks + 0.5) * stretch - 0.5).astype(np.float32)
    self.index = 0

  def boxes(self, frame: np.ndarray, thorough: bool = True) -> np.ndarray:
    """Returns float32[1, 4], or [0, 4] where the landmarks are NaN or missing."""
    points = self._landmarks[self.index] if self.index < len(self._landmarks) else np.full((68, 2), np.nan)
    if not np.isfinite(points).all():
      return np.zeros((0, 4), np.float32)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])[None].astype(np.float32)

  def landmarks_in(self, frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Returns float32[68, 2] of the current frame."""
    return self._landmarks[self.index]


def _plan(
  tracks, config: PrepareConfig, excerpt: cutting.Excerpt, width: int, height: int
) -> tuple[list[_Segment], list[RejectedClip]]:
  """Cuts the chosen tracks into segments and judges each."""
  segments, rejected = [], []
  for track in tracking.choose_tracks(tracks, longest=excerpt.follow == cutting.LONGEST):
    length = track.end - track.begin
    if length < config.shortest:
      rejected.append(RejectedClip(track.begin, length, f'face seen for only {length} frames'))
      continue
    others = sum(t is not track and t.begin < track.end and track.begin < t.end for t in tracks)
    notes = (f'several faces: followed the {excerpt.follow} of {others + 1}',) if others else ()
    for segment in _segments(track, config, excerpt.cut, width, height, notes):
      reason = _fault(segment, config)
      if reason:
        rejected.append(RejectedClip(segment.begin, segment.end - segment.begin, reason))
      else:
        segments.append(segment)
  if excerpt.cut == cutting.EVEN:
    return [dataclasses.replace(segment, number=k) for k, segment in enumerate(segments, start=1)], rejected
  return _longest_of_each_number(segments, rejected)


def _segments(
  track: tracking.Track, config: PrepareConfig, cut: str, width: int, height: int, notes: tuple[str, ...]
) -> Iterator[_Segment]:
  """Cuts one track, and says which square is cut out of each part."""
  landmarks, valid = _fill(track.landmarks)
  boxes = np.array(track.boxes, np.float32)
  whole = config.crop != cropping.TEMPLATE and cropping.is_cropped(landmarks, width, height)
  for number, begin, end in cutting.runs(cut, track.begin, track.end, config.longest):
    part = slice(begin - track.begin, end - track.begin)
    if whole:
      crop = cropping.centre_box(width, height)
    elif config.crop == cropping.TUBE:
      crop = cropping.tube_box(boxes[part], width, height)
    elif config.crop == cropping.TEMPLATE:
      crop = cropping.template_box(landmarks[part], np.array(config.template), width, height)
    else:
      crop = cropping.crop_box(landmarks[part], width, height)
    face = cropping.crop_box(landmarks[part], width, height)
    yield _Segment(number, begin, end, landmarks[part], valid[part], boxes[part], crop, face, notes)


def _longest_of_each_number(
  segments: list[_Segment], rejected: list[RejectedClip]
) -> tuple[list[_Segment], list[RejectedClip]]:
  """Keeps one run of a face for each piece of the video; the others join `rejected`."""
  kept: dict[int, _Segment] = {}
  for segment in sorted(segments, key=lambda s: (s.begin - s.end, s.begin)):
    longest = kept.setdefault(segment.number, segment)
    if longest is not segment:
      rejected = [
        *rejected,
        RejectedClip(
          segment.begin,
          segment.end - segment.begin,
          'the face is lost in between: a longer run of the same clip is kept',
        ),
      ]
  return sorted(kept.values(), key=lambda s: s.begin), rejected


def _fault(segment: _Segment, config: PrepareConfig) -> str:
  """Returns why a segment cannot be used, or ''."""
  if segment.crop[2] < config.min_face:
    return f'face too small: a crop of {segment.crop[2]} pixels, at least {config.min_face} are needed'
  missing = 1 - segment.valid.mean()
  if missing > config.max_invalid:
    return f'face found in only {segment.valid.sum()} of {len(segment.valid)} frames'
  if segment.end - segment.begin < config.shortest:
    return f'clip of only {segment.end - segment.begin} frames'
  if segment.end - segment.begin > max(config.longest, cutting.LONGEST_WHOLE):
    return f'clip of {segment.end - segment.begin} frames, at most {cutting.LONGEST_WHOLE} are kept in one'
  return ''


def _fill(landmarks: list[np.ndarray | None]) -> tuple[np.ndarray, np.ndarray]:
  """Interpolates frames without a face. Returns (float32[n, 68, 2], uint8[n] whether seen)."""
  valid = np.array([points is not None for points in landmarks], np.uint8)
  seen = np.flatnonzero(valid)
  known = np.stack([landmarks[k] for k in seen]).reshape(len(seen), -1)
  frames = np.arange(len(landmarks))
  filled = np.stack([np.interp(frames, seen, column) for column in known.T], axis=1)
  return filled.reshape(-1, 68, 2).astype(np.float32), valid


def _cut(
  path, segments: list[_Segment], config: PrepareConfig, excerpt: cutting.Excerpt
) -> Iterator[PreparedClip | RejectedClip]:
  """Second pass: cuts the pictures and the sound of each segment. Segments are in order and do not overlap."""
  offsets = _offsets(_open_audio(path, excerpt), segments, config)
  audio = _open_audio(path, excerpt)
  pending = iter(zip(segments, offsets, strict=True))
  segment, offset = next(pending)
  jpegs: list[bytes] = []
  chips: list[np.ndarray] = []
  for index, frame in enumerate(media.read_frames(path, begin=excerpt.begin, end=excerpt.end)):
    if index >= segment.begin:
      jpegs.append(cropping.encode_jpeg(cropping.crop(frame, segment.crop, config.size), config.quality))
      chips.append(pictures.chip(frame, segment.face))
    if index + 1 == segment.end:
      yield _judged(_clip(segment, jpegs, audio, offset, config), segment, np.stack(chips), offset, config)
      segment, offset = next(pending, (None, None))
      jpegs, chips = [], []
      if segment is None:
        return
  raise DataError(f'{path}: changed while it was read')


def _open_audio(path, excerpt: cutting.Excerpt) -> media.AudioReader:
  """Opens the sound of an excerpt: the video's own, else that of the file beside it."""
  audio = media.AudioReader(path, begin=excerpt.begin)
  if not audio.found and excerpt.sound is not None:
    audio = media.AudioReader(excerpt.sound, begin=excerpt.begin)
  return audio


def _offsets(audio: media.AudioReader, segments: Sequence[_Segment], config: PrepareConfig) -> list[synchrony.Offset]:
  """Returns by how much the sound of each segment is late; nothing where there is no sound that can be read."""
  curves = []
  for segment in segments:
    # Sound beyond both ends shows whether the mouth goes with an earlier or later one.
    begin = max(0, segment.begin - synchrony.SEARCH)
    try:
      heard = audio.take(begin * _SAMPLES_PER_FRAME, (segment.end + synchrony.SEARCH) * _SAMPLES_PER_FRAME)
    except media.MediaError:
      heard = np.zeros(0, np.int16)
    curve = np.zeros(len(synchrony.LAGS))
    if len(heard) >= _SAMPLES_PER_FRAME:
      curve = synchrony.correlations(
        synchrony.mouth_opening(segment.landmarks), synchrony.voice_level(heard), begin - segment.begin
      )
    curves.append(curve)
  return synchrony.resolve(curves, [segment.count for segment in segments], config.limits.trust)


def _clip(
  segment: _Segment, jpegs: list[bytes], audio: media.AudioReader, offset: synchrony.Offset, config: PrepareConfig
) -> PreparedClip:
  waveform, notes = _sound(segment, audio, synchrony.shift(offset, config.limits), config)
  boxes = cropping.to_crop(segment.boxes.reshape(-1, 2, 2), segment.crop, config.size).reshape(-1, 4)
  has_audio = len(waveform) > 0
  mel = np.zeros((0, audio_features.BANDS), np.float32)
  if has_audio:
    mel = audio_features.mel_spectrogram(waveform.astype(np.float32) / 32768)
  return PreparedClip(
    number=segment.number,
    begin_frame=segment.begin,
    frames=jpegs,
    landmarks=cropping.to_crop(segment.landmarks, segment.crop, config.size),
    landmarks_valid=segment.valid,
    face_boxes=boxes,
    crop_box=np.array(segment.crop, np.float32),
    has_audio=has_audio,
    waveform=waveform,
    mel=mel,
    notes=segment.notes + notes,
  )


def _judged(
  clip: PreparedClip, segment: _Segment, chips: np.ndarray, offset: synchrony.Offset, config: PrepareConfig
) -> PreparedClip | RejectedClip:
  """Adds the measures to a clip, or says why it is not used."""
  values = verdict.measure(
    chips, segment.landmarks, segment.valid, clip.waveform, offset, synchrony.shift(offset, config.limits)
  )
  if reason := verdict.fault(values, config.limits):
    thumbnail = thumbnails.of_jpeg(clip.frames[segment.count // 2])
    return RejectedClip(segment.begin, segment.count, reason, values, thumbnail)
  return dataclasses.replace(clip, measures=values, picture_hash=pictures.picture_hash(chips))


def _sound(
  segment: _Segment, audio: media.AudioReader, shift: int, config: PrepareConfig
) -> tuple[np.ndarray, tuple[str, ...]]:
  """Returns (int16[640 a frame] or empty, notes on why it is empty, padded or moved).

  Args:
    segment: whose sound it is.
    audio: read up to this segment.
    shift: frames by which the sound is moved earlier.
    config: how.
  """
  nothing = np.zeros(0, np.int16)
  if not audio.found:
    return nothing, ('no audio',)
  wanted = segment.count * _SAMPLES_PER_FRAME
  begin = (segment.begin + shift) * _SAMPLES_PER_FRAME
  try:
    samples = audio.take(max(0, begin), begin + wanted)
  except media.MediaError:
    return nothing, ('audio cannot be decoded',)
  samples = np.pad(samples, (max(0, -begin), 0))
  seconds = len(samples) / media.AUDIO_RATE
  if len(samples) < config.min_audio * wanted:
    return nothing, (f'audio ends after {seconds:.2f} of {wanted / media.AUDIO_RATE:.2f} s',)
  if not samples.any():
    return nothing, ('audio is digital silence',)
  if (level := verdict.loudness(samples)) < config.limits.min_loudness:
    return nothing, (f'audio is silent: {level:.1f} dB, at least {config.limits.min_loudness:g} are needed',)
  notes = (f'audio moved by {shift} frames to be in step',) if shift else ()
  # Less than a frame is missing at the end of almost every file; only more is worth a note.
  if wanted - len(samples) > (2 + max(0, shift)) * _SAMPLES_PER_FRAME:
    notes = (f'audio ends after {seconds:.2f} s, padded with silence', *notes)
  return np.pad(samples, (0, wanted - len(samples))), notes
