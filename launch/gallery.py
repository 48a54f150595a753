r"""Pictures of what a model does, for the documentation: labelled frames of people it was not trained on.

  edtalk make-synthetic --clips 6 --identities 3 --frames 40 --seed 991 --framing 1.35 --articulation 1.6 --mp4 \
    --out heads
  python -m launch.gallery --model runs/mouth_pose --ears runs/audio_to_mouth --videos heads/videos --out docs/gallery

Which clips are shown is decided by their order, and which failure by its error: nothing is picked by eye.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import tyro
from PIL import Image, ImageDraw, ImageFont

from data_pipeline import media
from edtalk_jax import model as model_lib
from edtalk_jax import terminal
from edtalk_jax.config import UserError
from edtalk_jax.model import Model

COLUMNS = 8  # frames of a row
SIDE, LABEL, TEXT = 128, 168, 15  # pixels of a frame, of the label beside it, of its letters


@dataclasses.dataclass(frozen=True)
class Clip:
  """A video of a face that is framed already.

  Attributes:
    path: of the video.
    frames: uint8[frames, size, size, 3], 25 a second.
  """

  path: pathlib.Path
  frames: np.ndarray

  @property
  def person(self) -> str:
    """As `edtalk make-synthetic` names files."""
    return self.path.name.split('#')[0]


def main(model: str, videos: str, out: str, ears: str = '') -> None:
  """Writes the pictures.

  Args:
    model: Folder of a run of stage mouth_pose or a later one.
    videos: Folder of videos of at least three people, framed as the model knows faces.
    out: Folder of the pictures.
    ears: Folder of a run of stage audio_to_mouth, for mouths that sound drives.
  """
  loaded = model_lib.load(model)
  paths = sorted(pathlib.Path(videos).glob('*.mp4'))
  clips = [Clip(path, np.stack(list(media.read_frames(path)))) for path in paths]
  firsts = list({clip.person: clip for clip in reversed(clips)}.values())[::-1]
  if len(firsts) < 3:
    raise UserError(f'{videos}: shows {len(firsts)} people, expected at least three')
  sheets = {
    'mouth_and_pose': mouth_and_pose(loaded, *firsts[:3]),
    'new_mouth': new_mouth(loaded, *firsts[:2]),
    'worst': worst(loaded, clips),
  }
  if ears:
    sheets['sound'] = sound(loaded.hearing_with(model_lib.load(ears)), *firsts[:2])
  folder = pathlib.Path(out)
  folder.mkdir(parents=True, exist_ok=True)
  for name, rows in sheets.items():
    draw(rows).save(folder / f'{name}.jpg', quality=88)
    print(f'wrote {folder / name}.jpg')


Row = tuple[str, np.ndarray]  # label, frames


def mouth_and_pose(model: Model, portrait: Clip, mouth: Clip, pose: Clip) -> list[Row]:
  """A portrait that takes its mouth from one video and its pose from another."""
  count = min(len(mouth.frames), len(pose.frames))
  motion = {'mouth': model.motion(mouth.frames[:count])['mouth'], 'pose': model.motion(pose.frames[:count])['pose']}
  painted = model.generate(model.encode(portrait.frames[0]), motion)
  return [
    ('portrait', portrait.frames[:1]),
    ('mouth of', mouth.frames[:count]),
    ('pose of', pose.frames[:count]),
    ('painted', painted),
  ]


def new_mouth(model: Model, source: Clip, mouth: Clip) -> list[Row]:
  """A video with the mouth of another."""
  count = min(len(source.frames), len(mouth.frames))
  painted = model.repaint(source.frames[:count], {'mouth': model.motion(mouth.frames[:count])['mouth']})
  return [('video', source.frames[:count]), ('mouth of', mouth.frames[:count]), ('painted', painted)]


def sound(model: Model, source: Clip, speaker: Clip) -> list[Row]:
  """A video with a mouth that another's voice drives; the model never sees the speaker."""
  wave = media.read_audio(speaker.path)
  if wave is None:
    raise UserError(f'{speaker.path}: holds no sound')
  mouth = model.motion_from_audio(wave, media.AUDIO_RATE)['mouth']
  count = min(len(source.frames), len(mouth))
  painted = model.repaint(source.frames[:count], {'mouth': mouth[:count]})
  return [('video', source.frames[:count]), ('voice of (unseen)', speaker.frames[:count]), ('painted', painted)]


def worst(model: Model, clips: Sequence[Clip]) -> list[Row]:
  """The clip that the model paints worst from its own first frame, by mean squared error."""
  found = []
  for clip in clips:
    painted = model.generate(model.encode(clip.frames[0]), model.motion(clip.frames))
    found.append((np.mean((painted.astype(np.float32) - clip.frames) ** 2), clip, painted))
  _, clip, painted = max(found, key=lambda each: each[0])
  return [('portrait', clip.frames[:1]), ('truth', clip.frames), ('painted', painted)]


def draw(rows: Sequence[Row]) -> Image.Image:
  """Returns the rows under one another, each with evenly spaced frames, or its only one."""
  sheet = Image.new('RGB', (LABEL + COLUMNS * SIDE, len(rows) * SIDE), 'white')
  pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
  for number, (label, frames) in enumerate(rows):
    pen.text((8, number * SIDE + SIDE // 2), label, 'black', font, anchor='lm')
    shown = np.linspace(0, len(frames) - 1, COLUMNS).round().astype(int) if len(frames) > 1 else [0]
    for column, index in enumerate(shown):
      face = Image.fromarray(frames[index]).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
      sheet.paste(face, (LABEL + column * SIDE, number * SIDE))
  return sheet


if __name__ == '__main__':
  terminal.run_main(lambda: tyro.cli(main, prog='python -m launch.gallery', description=__doc__))
