"""Video and audio in and out, streamed through PyAV: memory does not grow with the length of a file.

Times count from the first frame that a player would show. FFmpeg applies edit lists and the encoder's priming samples,
so a frame's timestamp is already the time at which it is seen; audio before that first frame is cut, audio that starts
later is preceded by silence.
"""

import dataclasses
import fractions
import math
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import av
import numpy as np

from data_pipeline.errors import DataError, is_shortage
from data_pipeline.rates import AUDIO_RATE, FPS

# Audio that drifts from its timestamps by less than this is jitter of the container, not a gap.
_GAP_SECONDS = 0.04
_LONGEST_HOLD_SECONDS = 10.0  # a frame shown longer than this is a broken timestamp, not a still picture
_LARGEST_PICTURE = 100_000_000  # pixels: three times 8K; a header that claims more is damaged, or an attack
_LONGEST_SILENCE_SECONDS = 600.0  # sound that claims to come after a longer silence has a broken timestamp
# Playlists and the like, which make FFmpeg open other files that they name: a file speaks for itself only.
_REFERRING = {
  'avisynth', 'concat', 'concatf', 'dash', 'hls', 'imf', 'lavfi', 'rtp', 'rtsp', 'sap', 'sdp', 'vapoursynth',
  'webm_dash_manifest',
}  # fmt: skip
_FORMATS = ','.join(sorted(av.formats_available - _REFERRING))


class MediaError(DataError):
  """A file that PyAV cannot open, decode or write."""


@dataclasses.dataclass(frozen=True)
class VideoInfo:
  """What a container says about itself.

  Attributes:
    width, height: pixels as displayed, after rotation and with square pixels.
    fps: average frames per second as stored; 0 if unknown.
    seconds: duration; 0 if unknown.
    has_audio: whether there is an audio stream.
    stretch: factors from upright stored pixels to displayed ones along (x, y); not 1 where pixels are not square.
  """

  width: int
  height: int
  fps: float
  seconds: float
  has_audio: bool
  stretch: tuple[float, float] = (1.0, 1.0)


def probe(path: str | os.PathLike) -> VideoInfo:
  """Reads the properties of a video from its header and first frame.

  Raises:
    MediaError: if the file cannot be read or shows no picture.
  """
  with _open(path) as container:
    stream = _video_stream(container, path)
    frame = next(_decode(container, stream, path), None)
    if frame is None:
      raise MediaError(f'{path}: holds no decodable video frame')
    height, width = _picture(frame, stream).shape[:2]
    seconds = container.duration / av.time_base if container.duration else 0.0
    stored = (frame.width, frame.height) if round(frame.rotation / 90) % 2 == 0 else (frame.height, frame.width)
    return VideoInfo(
      width,
      height,
      float(stream.average_rate or 0),
      seconds,
      bool(container.streams.audio),
      (width / stored[0], height / stored[1]),
    )


def tracks(path: str | os.PathLike) -> tuple[bool, bool]:
  """Returns whether a file says that it has (video, sound). Raises MediaError if it cannot be opened."""
  with _open(path) as container:
    return bool(_videos(container)), bool(container.streams.audio)


def seconds(path: str | os.PathLike) -> float:
  """Returns how long the pictures or the sound of a file last, the longer of both, whatever its header says.

  Nothing is decoded. What has no duration counts as nothing, so that a still picture lasts 0.

  Raises:
    MediaError: if the file cannot be opened.
  """
  spans: dict[int, tuple[float, float]] = {}  # of each stream
  with _open(path) as container:
    try:
      for packet in container.demux(*_videos(container), *container.streams.audio):
        if packet.pts is not None:
          begin, end = (float(time * packet.time_base) for time in (packet.pts, packet.pts + (packet.duration or 0)))
          low, high = spans.get(packet.stream_index, (begin, end))
          spans[packet.stream_index] = min(low, begin), max(high, end)
    except av.FFmpegError as error:
      if is_shortage(error):
        raise _translated(error, path, 'read') from None
  return max((high - low for low, high in spans.values()), default=0.0)


def read_frames(
  path: str | os.PathLike, fps: float | None = FPS, begin: float = 0.0, end: float = math.inf
) -> Iterator[np.ndarray]:
  """Yields the pictures of a video at a constant rate as uint8[height, width, 3] RGB, upright, with square pixels."""
  return (image for _, image in read_indexed_frames(path, fps, begin, end))


def read_indexed_frames(
  path: str | os.PathLike, fps: float | None = FPS, begin: float = 0.0, end: float = math.inf
) -> Iterator[tuple[int, np.ndarray]]:
  """Yields (number of the stored frame, uint8[height, width, 3]) at a constant rate.

  Output frame k is the last stored frame whose time rounds to slot k or before (FFmpeg's `fps` filter), so a stored
  frame may be repeated or left out. A still image is a video of one frame.

  Args:
    path: any file that FFmpeg reads.
    fps: output rate; None yields every stored frame once.
    begin, end: seconds since the first shown frame between which frames are wanted (not with fps=None). What comes
      before is decoded, not sought: containers know the times of their frames only after decoding.

  Raises:
    MediaError: if the file cannot be opened, or nothing of it can be decoded. A stream that breaks off later just ends.
  """
  with _open(path) as container:
    stream = _video_stream(container, path)
    stream.thread_type = 'AUTO' if stream.codec_context.codec.name not in ('mjpeg', 'png') else 'NONE'
    stored = _timed_frames(container, stream, path)
    if fps is None:
      yield from ((index, _picture(frame, stream)) for index, _, frame in stored)
      return
    wanted = math.inf if math.isinf(end) else math.floor((end - begin) * fps + 0.5)
    count = 0
    for index, frame, repeats in _constant_rate(((index, time - begin, frame) for index, time, frame in stored), fps):
      if repeats:
        image = _picture(frame, stream)
        for _ in range(min(repeats, wanted - count)):
          yield index, image
        count += repeats
      if count >= wanted:
        return


def _constant_rate(stored: Iterator[tuple[int, float, Any]], fps: float) -> Iterator[tuple[int, Any, int]]:
  """Yields (stored index, frame, how many output slots it fills) for frames timed in seconds."""
  held = None
  slot = 0  # next output slot
  last_duration = 0.0
  for index, time, frame in stored:
    if held is not None:
      begin = max(0, math.floor(time * fps + 0.5))
      yield *held[:2], max(0, min(begin - slot, int(_LONGEST_HOLD_SECONDS * fps)))
      slot = max(slot, begin)
      last_duration = max(0.0, time - held[2])
    held = (index, frame, time)
  if held is not None:
    end = math.floor((held[2] + last_duration) * fps + 0.5)
    yield *held[:2], max(end - slot, 1 if slot == 0 else 0)


def _timed_frames(container, stream, path) -> Iterator[tuple[int, float, Any]]:
  """Yields (number, seconds since the first shown frame, frame), repairing missing timestamps."""
  start, last = None, 0.0
  step = 1 / float(stream.average_rate) if stream.average_rate else 1 / FPS
  for index, frame in enumerate(_decode(container, stream, path)):
    time = frame.time
    if start is None:
      start = time or 0.0
    last = time - start if time is not None else last + step
    yield index, last, frame
  if start is None:
    raise MediaError(f'{path}: holds no decodable video frame')


def _picture(frame, stream) -> np.ndarray:
  """Returns a decoded frame as displayed: square pixels, display matrix applied."""
  aspect = stream.sample_aspect_ratio
  if aspect and aspect > 0 and abs(float(aspect) - 1) > 0.01:
    frame = frame.reformat(width=max(1, round(frame.width * float(aspect))), format='rgb24')
  image = frame.to_ndarray(format='rgb24')
  turns = round(frame.rotation / 90) % 4
  return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


class AudioReader:
  """Forward-only access to a file's audio as mono int16 at 16 kHz, aligned with the video's first frame.

  `take(start, stop)` returns samples [start, stop) and must be called with increasing ranges; what lies beyond the end
  of the track is missing from the result.

  Sample 0 is heard `begin` seconds after the first frame; what comes before is skipped.

  Attributes:
    found: whether the file has an audio stream.
  """

  def __init__(self, path: str | os.PathLike, rate: int = AUDIO_RATE, begin: float = 0.0):
    with _open(path) as container:
      self.found = bool(container.streams.audio)
    self._blocks = _audio_blocks(path, rate) if self.found else iter(())
    self._buffer = np.zeros(0, np.int16)
    self._begin = -round(begin * rate)  # position of the buffer's first sample

  def take(self, start: int, stop: int) -> np.ndarray:
    """Returns int16[<= stop - start]; shorter where the track ends early."""
    if start < self._begin:
      raise ValueError(f'start must be at least {self._begin} (reads go forward only), got {start}')
    self._drop(start)
    while self._begin + len(self._buffer) < stop and (block := next(self._blocks, None)) is not None:
      self._buffer = np.concatenate([self._buffer, block])
      self._drop(start)
    return self._buffer[: max(0, stop - self._begin)].copy()

  def _drop(self, start: int) -> None:
    count = min(start - self._begin, len(self._buffer))
    self._buffer, self._begin = self._buffer[count:], self._begin + count


def read_sound(path: str | os.PathLike, rate: int = AUDIO_RATE, piece_seconds: float = 4.0) -> Iterator[np.ndarray]:
  """Yields `read_audio` in pieces float32[samples]; none if there is no sound."""
  reader, position = AudioReader(path, rate), 0
  while len(samples := reader.take(position, position + round(piece_seconds * rate))):
    position += len(samples)
    yield samples.astype(np.float32) / 32768


def read_audio(path: str | os.PathLike, rate: int = AUDIO_RATE) -> np.ndarray | None:
  """Returns a whole audio track as float32[samples] in [-1, 1], mono, aligned with the video; None without one."""
  if not AudioReader(path, rate).found:
    return None
  blocks = list(_audio_blocks(path, rate))
  samples = np.concatenate(blocks) if blocks else np.zeros(0, np.int16)
  return samples.astype(np.float32) / 32768


def _audio_blocks(path, rate: int) -> Iterator[np.ndarray]:
  """Yields consecutive int16 blocks whose first sample is at the time of the first video frame."""
  start = _first_frame_time(path)
  position = 0  # samples since `start` that have been yielded
  gap = 0  # samples of silence to put before the next block or, if negative, samples still to be cut
  with _open(path) as container:
    stream = container.streams.audio[0]
    _context(stream, path)
    resampler = av.AudioResampler(format='s16', layout='mono', rate=rate)
    expected = None  # time at which the next decoded block should begin
    for frame in _decode(container, stream, path):
      time = frame.time if frame.time is not None else (expected if expected is not None else start)
      if expected is None or abs(time - expected) > _GAP_SECONDS:
        gap = round((time - start) * rate) - position
        if gap > _LONGEST_SILENCE_SECONDS * rate:
          return  # nothing says where this and what follows belong
      expected = time + frame.samples / frame.sample_rate
      frame.pts = None  # the resampler would otherwise fill gaps by rules of its own
      for block in _resample(resampler, frame, path):
        samples, gap = _shift(block.to_ndarray().reshape(-1), gap)
        position += len(samples)
        yield samples
    for block in _resample(resampler, None, path):
      samples = block.to_ndarray().reshape(-1)
      position += len(samples)
      yield samples


def _resample(resampler, frame, path) -> list[Any]:
  try:
    return resampler.resample(frame)
  except (av.FFmpegError, ValueError) as error:  # damaged sound changes its rate or layout to none that there is
    raise _translated(error, path, 'resampled') from None


def _shift(samples: np.ndarray, gap: int) -> tuple[np.ndarray, int]:
  """Puts `gap` samples of silence before a block, or cuts -gap samples; returns also what remains to be cut."""
  if gap >= 0:
    return (np.concatenate([np.zeros(gap, np.int16), samples]) if gap else samples), 0
  cut = min(-gap, len(samples))
  return samples[cut:], gap + cut


def _first_frame_time(path) -> float:
  with _open(path) as container:
    if not (streams := _videos(container)):
      return 0.0
    _context(streams[0], path)
    frame = next(_decode(container, streams[0], path), None)
    return frame.time or 0.0 if frame is not None else 0.0


def write_video(
  path: str | os.PathLike,
  frames: Iterable[np.ndarray],
  fps: float = FPS,
  audio: np.ndarray | AudioReader | None = None,
  audio_rate: int = AUDIO_RATE,
  crf: int = 16,
) -> int:
  """Encodes frames (and sound) as MP4, H.264 yuv420p and AAC; the file appears only when it is whole.

  Args:
    path: where to write; the folder is made.
    frames: uint8[height, width, 3] RGB, all of one even size; consumed one at a time.
    fps: frames per second.
    audio: float32[samples] in [-1, 1], mono, or a reader of it, which is read as frames are written; cut to the length
      of the video.
    audio_rate: samples per second of `audio`.
    crf: x264's quality, lower is better.

  Returns:
    The number of frames written.

  Raises:
    ValueError: if there are no frames, or a frame is not uint8 RGB of the first one's even size.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.stem}.{os.getpid()}.partial.mp4')
  try:
    with av.open(str(temporary), 'w', options={'movflags': '+faststart'}) as container:
      count = _encode(container, frames, fps, audio, audio_rate, crf)
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)
  return count


def _encode(container, frames, fps, audio, audio_rate, crf) -> int:
  iterator = iter(frames)
  first = next(iterator, None)
  if first is None:
    raise ValueError('frames must hold at least one frame, got none')
  height, width = first.shape[:2]
  if height % 2 or width % 2:
    raise ValueError(f'frames must have even sides for yuv420p, got {width}x{height}')
  rate = fractions.Fraction(fps).limit_denominator(1001)
  video = container.add_stream('libx264', rate=rate, options={'crf': str(crf), 'preset': 'medium'})
  video.width, video.height, video.pix_fmt = width, height, 'yuv420p'
  sound = _Sound(container, audio, audio_rate) if audio is not None else None
  count = 0
  for count, image in enumerate(_chain(first, iterator), start=1):
    if image.shape != (height, width, 3) or image.dtype != np.uint8:
      raise ValueError(f'frame {count - 1} must be uint8 {(height, width, 3)}, got {image.dtype} {image.shape}')
    container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format='rgb24')))
    if sound is not None:
      sound.encode(round(count / fps * audio_rate))
  container.mux(video.encode(None))
  if sound is not None:
    sound.end(round(count / fps * audio_rate))
  return count


class _Sound:
  """The AAC track of a file that is being written, fed as its pictures are: neither waits for the other in memory."""

  _BLOCK = 1024  # samples of an AAC frame

  def __init__(self, container, audio: np.ndarray | AudioReader, rate: int):
    self._container, self._rate = container, rate
    self._stream = container.add_stream('aac', rate=rate, layout='mono')
    self._take = audio.take if isinstance(audio, AudioReader) else lambda start, stop: audio[start:stop]
    self._position = 0  # samples encoded

  def encode(self, until: int) -> None:
    """Encodes whole AAC frames of the samples before `until`."""
    while self._position + self._BLOCK <= until and self._write(self._position + self._BLOCK):
      pass

  def end(self, until: int) -> None:
    """Encodes the rest of the samples before `until`."""
    self.encode(until)
    self._write(until)
    self._container.mux(self._stream.encode(None))

  def _write(self, stop: int) -> bool:
    """Encodes samples up to `stop`; False if the sound ended before."""
    samples = self._take(self._position, stop)
    if not len(samples):
      return False
    if samples.dtype == np.int16:
      samples = samples.astype(np.float32) / 32768
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32)[None], format='fltp', layout='mono')
    frame.sample_rate, frame.pts = self._rate, self._position
    self._container.mux(self._stream.encode(frame))
    self._position += len(samples)
    return self._position == stop


def _chain(first, rest):
  yield first
  yield from rest


def _open(path):
  if not os.path.exists(path):
    raise MediaError(f'{path}: no such file')
  try:
    return av.open(os.fspath(path), metadata_errors='replace', options={'format_whitelist': _FORMATS})
  except (av.FFmpegError, OSError) as error:
    raise _translated(error, path, 'opened') from None


def _videos(container) -> list[Any]:
  """The video streams that are not the picture on a record's cover."""
  return [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]


def _video_stream(container, path):
  streams = _videos(container)
  if not streams:
    raise MediaError(f'{path}: holds no video stream')
  width, height = _context(streams[0], path).width, _context(streams[0], path).height
  if width * height > _LARGEST_PICTURE:
    raise MediaError(f'{path}: claims {width}x{height} pixels, at most {_LARGEST_PICTURE} can be read')
  return streams[0]


def _context(stream, path):
  """Returns what decodes a stream."""
  if stream.codec_context is None:
    raise MediaError(f'{path}: cannot be decoded (unknown codec)')
  return stream.codec_context


def _decode(container, stream, path) -> Iterator[Any]:
  """Yields decoded frames; a stream that breaks off ends, unless nothing could be decoded at all."""
  count = 0
  try:
    for frame in container.decode(stream):
      count += 1
      yield frame
  except av.FFmpegError as error:
    if not count or is_shortage(error) or isinstance(error, MemoryError):
      raise _translated(error, path, 'decoded') from None


def _translated(error: Exception, path, done: str) -> Exception:
  """Returns what to raise: a fault of the file as a `MediaError`, one of the machine as the interpreter's own."""
  if is_shortage(error):
    return OSError(error.errno, error.strerror, os.fspath(path))
  if isinstance(error, MemoryError):
    return MemoryError(f'{path} cannot be {done}')
  reason = (getattr(error, 'strerror', None) or str(error)).split(':')[0].strip().splitlines()[0]
  return MediaError(f'{path}: cannot be {done} ({reason})')
