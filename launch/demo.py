"""The whole path on a folder of videos: prepare, train both stages, evaluate, animate.

`make demo` runs this; it prints every command before running it, so that a reader can go on by hand.
"""

import dataclasses
import json
import pathlib
from typing import Annotated

import tyro
from PIL import Image

from data_pipeline import inputs, media
from edtalk_jax.config import UserError
from edtalk_jax.terminal import run_main
from launch.commands import Commands


@dataclasses.dataclass
class Demo:
  """Runs the whole path on a folder of videos: prepare, train both stages, evaluate, animate.

  Example: python -m launch.demo --clips videos --out runs/demo
  """

  clips: Annotated[pathlib.Path | None, tyro.conf.arg(metavar='DIR')] = None
  """Folder of videos of talking people. Without one, synthetic heads are rendered first."""
  out: Annotated[pathlib.Path, tyro.conf.arg(metavar='DIR')] = pathlib.Path('runs/demo')
  """Where records, runs, report and video go; run it again to go on."""
  config: str = 'configs/tiny.py'
  """The configuration of both stages."""
  reconstruction_steps: int = 1000
  """Steps of the first stage."""
  mouth_pose_steps: int = 160
  """Steps of the second stage."""
  limit: int = 0
  """Use only so many videos, spread over the folder; 0 uses all."""

  def run(self) -> None:
    """Runs the commands one after the other and says how long each took."""
    records, first, second = self.out / 'records', self.out / 'reconstruction', self.out / 'mouth_pose'
    common = ('--config', self.config, '--data', records)
    self._commands = Commands()
    if self.clips is None:
      self.clips = self._render()
    self._commands.run('prepare', 'edtalk', 'prepare', *self._videos(), '--out', records)
    self._commands.run(
      'reconstruction', 'python', 'train.py', *common, '--workdir', first, '--steps', self.reconstruction_steps
    )
    self._commands.run(
      'mouth_pose',
      'python',
      'train.py',
      *common,
      '--workdir',
      second,
      '--from',
      first,
      '--steps',
      self.mouth_pose_steps,
      '--set',
      'run.stage=mouth_pose',
    )
    self._commands.run('eval', 'python', 'eval.py', '--workdir', second, '--data', records)
    portrait, mouth, pose = self._cast(records)
    video = self.out / 'animation.mp4'
    self._commands.run(
      'animate',
      'edtalk',
      'animate',
      '--model',
      second,
      '--source',
      portrait,
      '--mouth',
      mouth,
      '--pose',
      pose,
      '--out',
      video,
    )
    print('\nseconds: ' + ', '.join(f'{name} {seconds:.0f}' for name, seconds in self._commands.seconds.items()))
    print(f'look at {second}/report.html, {second}/samples and {video}')

  def _render(self) -> pathlib.Path:
    """Renders synthetic heads, speaking, and returns the folder of their videos."""
    heads = self.out / 'heads'
    count = ('--clips', self.limit or 64, '--identities', min(self.limit or 64, 24))
    self._commands.run('render', 'edtalk', 'make-synthetic', *count, '--size', 128, '--mp4', '--out', heads)
    return heads / 'videos'

  def _videos(self) -> list[pathlib.Path]:
    """The folder, or the videos of it that `limit` leaves."""
    if not self.clips.is_dir():
      raise UserError(f'--clips {self.clips}: no such folder; give a folder of videos, e.g. make demo CLIPS=videos')
    if not self.limit:
      return [self.clips]
    files = [video.path for video in inputs.find_videos([self.clips])]
    return files[:: max(1, len(files) // self.limit)][: self.limit]

  def _cast(self, records: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path, pathlib.Path]:
    """A portrait, a mouth driver and a pose driver of three different people, if possible of the test split."""
    lines = [json.loads(line) for line in (records / 'manifest.jsonl').read_text(encoding='utf-8').splitlines()]
    good = [line for line in lines if line['status'] == 'ok']
    good.sort(key=lambda line: (line['split'] != 'test', not line['has_audio'], line['clip']))
    first: dict[str, dict] = {}
    for line in good:
      first.setdefault(line['identity'], line)
    paths = {video.video_id: video.path for video in inputs.find_videos(self._videos())}
    people = [paths[line['video']] for line in first.values()]
    mouth, pose, person = (people[index % len(people)] for index in range(3))
    portrait = self.out / 'portrait.png'
    Image.fromarray(next(iter(media.read_frames(person)))).save(portrait)
    return portrait, mouth, pose


if __name__ == '__main__':
  run_main(lambda: tyro.cli(Demo).run())
