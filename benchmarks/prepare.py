"""How many frames a core prepares in an hour, and what that makes of many hours of video.

python -m benchmarks.prepare VIDEOS --seconds 10 --hours 400
"""

import argparse
import contextlib
import dataclasses
import sys
import time
from collections.abc import Sequence

import numpy as np

from data_pipeline import cutting, inputs, media, prepare, worker
from data_pipeline.errors import DataError, RejectedVideo
from data_pipeline.quality.limits import ACCEPT_ALL

_CORES = 64  # of the machine in the plan


@dataclasses.dataclass(frozen=True)
class Rate:
  """What the preparation of one video took.

  Attributes:
    name: of the file.
    source: width, height, rate and whether landmarks were given.
    frames, clips: that came out.
    seconds: of processor time, of all threads.
    stored: bytes of the frames as JPEG, the landmarks, the sound and the spectrograms.
  """

  name: str
  source: str
  frames: int
  clips: int
  seconds: float
  stored: int


def measure(video: inputs.Video, seconds: float, config: prepare.PrepareConfig) -> Rate:
  """Prepares the first `seconds` of a video. Raises RejectedVideo if they give no clip."""
  info = media.probe(video.path)
  landmarks = np.load(video.landmarks) if video.landmarks else None
  detector = None if video.landmarks else worker.detector_of_process()
  begin = time.process_time()
  found = prepare.prepare_video(video.path, config, detector, landmarks, cutting.Excerpt(end=seconds))
  clips = [clip for clip in found if isinstance(clip, prepare.PreparedClip)]
  spent = time.process_time() - begin
  if not clips:
    raise RejectedVideo('no clip came out')
  stored = sum(
    sum(map(len, clip.frames)) + clip.landmarks.nbytes + clip.waveform.nbytes + clip.mel.nbytes for clip in clips
  )
  source = f'{info.width}x{info.height}, {info.fps:.3g} fps{", landmarks given" if video.landmarks else ""}'
  return Rate(video.path.name, source, sum(len(clip.frames) for clip in clips), len(clips), spent, stored)


def plan(rates: Sequence[Rate], hours: float) -> str:
  """Returns what `hours` of video like the measured ones take; clips and all."""
  frames, seconds = sum(rate.frames for rate in rates), sum(rate.seconds for rate in rates)
  wanted = hours * 3600 * media.FPS
  cores = wanted / frames * seconds / 3600
  size = wanted / frames * sum(rate.stored for rate in rates) / 1e12
  return (
    f'{hours:g} h: {wanted / 1e6:.1f} million frames, {cores:.0f} core-hours ({cores / _CORES:.1f} h of {_CORES} '
    f'cores), {size:.2f} TB of records and as much of cache'
  )


def main(arguments: Sequence[str] | None = None) -> int:
  """Prints a line for each video and the plan."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('videos', nargs='+')
  parser.add_argument('--seconds', type=float, default=10.0, help='of each video')
  parser.add_argument('--hours', type=float, default=400.0, help='of the plan')
  parser.add_argument('--landmarks', help='folder with VIDEO_ID.npy')
  options = parser.parse_args(arguments)
  config, rates = prepare.PrepareConfig(limits=ACCEPT_ALL), []  # clips are measured all the same
  videos = inputs.find_videos(options.videos, options.landmarks)
  with contextlib.suppress(RejectedVideo):
    measure(videos[0], 2, config)  # loads and compiles
  for video in videos:
    try:
      rate = measure(video, options.seconds, config)
    except RejectedVideo as error:
      print(f'{video.path.name}: {error}')
      continue
    rates.append(rate)
    an_hour = 3600 / rate.seconds
    print(
      f'{rate.name} ({rate.source}): {rate.frames} frames, {rate.clips} clips in {rate.seconds:.1f} s of a core: '
      f'{rate.frames * an_hour:,.0f} frames, {rate.clips * an_hour:,.0f} clips a core-hour, '
      f'{rate.stored / rate.frames / 1000:.1f} kB a frame',
      flush=True,
    )
  if rates:
    print(plan(rates, options.hours))
  return 0 if rates else 2


if __name__ == '__main__':
  try:
    sys.exit(main())
  except DataError as error:
    sys.exit(f'error: {error}')
