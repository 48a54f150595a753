"""Small generated videos, with landmarks of a drawn face, so that no test needs a detector or a download."""

import fractions
import pathlib

import av
import numpy as np

from data_pipeline import media

SIDE = 96


def face_landmarks(count: int, side: int = SIDE) -> np.ndarray:
  """float32[count, 68, 2]: a plausible face that drifts and opens its mouth."""
  t = np.arange(count)[:, None]
  unit = np.zeros((count, 68, 2))
  jaw = np.linspace(-np.pi, 0, 17)
  unit[:, :17] = np.stack([0.5 + 0.3 * np.cos(jaw), 0.45 - 0.35 * np.sin(jaw)], -1)
  unit[:, 17:27] = np.stack([np.linspace(0.28, 0.72, 10), np.full(10, 0.32)], -1)
  unit[:, 27:36] = np.stack([np.full(9, 0.5), np.linspace(0.4, 0.58, 9)], -1)
  ring = np.linspace(0, 2 * np.pi, 6, endpoint=False)
  for begin, x in ((36, 0.38), (42, 0.62)):
    unit[:, begin : begin + 6] = np.stack([x + 0.05 * np.cos(ring), 0.4 + 0.02 * np.sin(ring)], -1)
  lips = np.linspace(0, 2 * np.pi, 20, endpoint=False)
  opening = 0.03 + 0.02 * np.sin(t / 3)
  unit[:, 48:, 0] = 0.5 + 0.1 * np.cos(lips)
  unit[:, 48:, 1] = 0.68 + opening * np.sin(lips)
  unit[..., 0] += 0.01 * np.sin(t / 5)
  return (unit * side).astype(np.float32)


def pictures(count: int, side: int = SIDE, seed: int = 0) -> np.ndarray:
  """uint8[count, side, side, 3]: smooth colours whose red channel tells the number of the frame."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:side, :side] / side
  base = np.stack([0 * x, 0.3 + 0.5 * x * rng.uniform(0.5, 1), 0.3 + 0.5 * y * rng.uniform(0.5, 1)], -1) * 255
  frames = np.repeat(base[None], count, axis=0)
  frames[..., 0] = 20 + 4 * (np.arange(count)[:, None, None] % 55)
  return frames.astype(np.uint8)


def tone(seconds: float) -> np.ndarray:
  """float32 at 16 kHz."""
  times = np.arange(round(seconds * media.AUDIO_RATE)) / media.AUDIO_RATE
  return (0.3 * np.sin(2 * np.pi * 300 * times)).astype(np.float32)


def write(
  path: pathlib.Path,
  count: int = 40,
  *,
  seed: int = 0,
  side: int = SIDE,
  fps: float = 25,
  audio_seconds: float | None = None,
  landmarks: bool = True,
) -> pathlib.Path:
  """Writes a video and, beside it, the landmarks of its face."""
  sound = tone(audio_seconds) if audio_seconds else None
  media.write_video(path, pictures(count, side, seed), fps, sound)
  if landmarks:
    np.save(path.with_suffix('.npy'), face_landmarks(count, side))
  return path


def write_variable_rate(path: pathlib.Path, times_ms: list[int], start_ms: int = 0, side: int = SIDE) -> pathlib.Path:
  """Writes a Matroska video whose frames are shown at the given times."""
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('libx264', rate=25)
    stream.width = stream.height = side
    stream.pix_fmt, stream.time_base = 'yuv420p', fractions.Fraction(1, 1000)
    stream.codec_context.time_base = fractions.Fraction(1, 1000)
    for image, time in zip(pictures(len(times_ms), side), times_ms, strict=True):
      frame = av.VideoFrame.from_ndarray(image, format='rgb24')
      frame.pts, frame.time_base = time + start_ms, fractions.Fraction(1, 1000)
      container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
  return path


def write_with_sound(
  path: pathlib.Path, video_ms: int, blocks: list[tuple[int, np.ndarray]], count: int = 50
) -> pathlib.Path:
  """Writes a Matroska video that begins at `video_ms`, with float32 sound in blocks (begin in ms, samples)."""
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('libx264', rate=25)
    stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, 'yuv420p'
    stream.codec_context.time_base = fractions.Fraction(1, 1000)
    sound = container.add_stream('pcm_s16le', rate=media.AUDIO_RATE, layout='mono')
    for begin, samples in blocks:
      block = np.round(samples * 32767).astype(np.int16)[None]
      frame = av.AudioFrame.from_ndarray(block, format='s16', layout='mono')
      frame.sample_rate, frame.pts = media.AUDIO_RATE, begin * media.AUDIO_RATE // 1000
      frame.time_base = fractions.Fraction(1, media.AUDIO_RATE)
      container.mux(sound.encode(frame))
    for k, image in enumerate(pictures(count)):
      frame = av.VideoFrame.from_ndarray(image, format='rgb24')
      frame.pts, frame.time_base = video_ms + 40 * k, fractions.Fraction(1, 1000)
      container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
  return path


def number(image: np.ndarray) -> int:
  """Reads the frame number that `pictures` drew."""
  return round((float(image[..., 0].mean()) - 20) / 4)
