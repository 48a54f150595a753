"""How many synthetic frames one core renders a second, and how many finished records that makes.

python -m benchmarks.synthetic
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from data_pipeline import audio_features
from data_pipeline.synthetic import clip, render


def rendering(shot: clip.Take, size: int, seconds: float) -> tuple[float, float]:
  """Returns seconds of processor time to set up a person, and frames per second of processor time."""
  start = time.process_time()
  renderer = render.Renderer(shot.person, size)
  ready = time.process_time()
  renderer.render(shot.track[0])
  begin, count = time.process_time(), 0
  while time.process_time() - begin < seconds:
    renderer.render(shot.track[count % len(shot.track)])
    count += 1
  return ready - start, count / (time.process_time() - begin)


def whole(plan: clip.Plan) -> float:
  """Returns frames per second of processor time with everything: motion, speech, set-up, pictures, JPEG, masks, mel."""
  start = time.process_time()
  for number in range(plan.clips):
    shot = clip.take(plan, number)
    clip.record(shot, clip.draw(shot, plan.size), plan.size)
  return plan.clips * plan.frames / (time.process_time() - start)


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--sizes', type=int, nargs='+', default=[64, 256, 512])
  parser.add_argument('--seconds', type=float, default=2.0, help='processor time of each measurement')
  arguments = parser.parse_args()
  audio_features.mel_basis()  # made once for each process
  print('frames/s for each core    rendering   set-up of a person   whole records')
  for size in arguments.sizes:
    plan = clip.Plan(clips=2, people=2, size=size)
    setup, rate = rendering(clip.take(plan, 0), size, arguments.seconds)
    print(f'{size:4d} px                  {rate:9.1f}   {setup:16.3f} s   {whole(plan):13.1f}')
  return 0


if __name__ == '__main__':
  sys.exit(main())
