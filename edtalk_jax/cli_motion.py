"""The commands about motion that follows from sound and words; see `cli`."""

from typing import Annotated

import tyro

from edtalk_jax.arguments import File, Folder, OptionalFile, OptionalFolder, Text
from edtalk_jax.config import UserError

Network = Annotated[str | None, tyro.conf.arg(metavar='MODEL', help_behavior_hint='(optional)')]


def extract_features(
  data: Folder,
  out: Folder,
  audio: Network = None,
  text: Network = None,
  transcripts: OptionalFile = None,
) -> None:
  """Reads sound and words of a data set with networks of Hugging Face, for stage semantic_expression.

  Example: edtalk extract-features --data records --text tae898/emoberta-base --out records/features

  Needs the extra [semantic]. Writes OUT/audio.npz and OUT/text.npz; docs/stages/semantic_expression.md says more.

  Args:
    data: Folder of records, as `edtalk prepare` wrote it.
    out: Folder of the files.
    audio: Speech network, such as facebook/hubert-large-ls960-ft, or its folder.
    text: Text network, such as tae898/emoberta-base, or its folder.
    transcripts: Table with the columns id and text, instead of DATA/transcripts.csv.
  """
  from data_pipeline import extractors

  if not audio and not text:
    raise UserError('edtalk extract-features: give --audio, --text or both')
  made = {}
  if audio:
    made['audio'] = extractors.extract_audio(data, audio, out)
  if text:
    made['text'] = extractors.extract_text(data, text, out, transcripts or '')
  for path, count in made.values():
    print(f'wrote {path}: {count} vectors')
  print(
    'next: edtalk train --config configs/semantic_expression.py --set '
    + ' '.join(f'semantic.{name}={path}' for name, (path, _) in made.items())
    + ' ...'
  )


def make_motion(
  audio: File,
  out: File,
  pose: OptionalFolder = None,
  expression: OptionalFolder = None,
  source: OptionalFile = None,
  text: Text = '',
  crop: bool = True,
  temperature: float = 0.7,
  seed: int = 0,
) -> None:
  """Makes up head motion and expression for a sound, as a motion file for edtalk animate.

  Example: edtalk make-motion --audio talk.wav --pose runs/audio_to_pose --source portrait.png --out head.npz

  docs/stages/audio_to_pose.md and docs/stages/semantic_expression.md say more.

  Args:
    audio: Sound, or a video with sound.
    out: The motion file (.npz) to write; animate takes it as --pose, --expression.
    pose: Folder of a run of stage audio_to_pose, which moves the head.
    expression: Folder of a run of stage semantic_expression, which sets the expression.
    source: Portrait whose pose the head leaves.
    text: What is said, for the expression.
    crop: Find the portrait's face and frame it as in training; needs the extra [faces].
    temperature: How lively the head is; 1 as in the data.
    seed: Of the head's motion; another gives another.
  """
  from edtalk_jax.animation import making

  if not pose and not expression:
    raise UserError('edtalk make-motion: give --pose, --expression or both')
  settings = making.Settings(source=source or '', crop=crop, text=text, seed=seed, temperature=temperature)
  motion = making.make(audio, out, pose=pose or '', expression=expression or '', settings=settings)
  frames = len(next(iter(motion.values())))
  print(f'wrote {out}: {" and ".join(motion)} of {frames} frames')
  print(
    'next: edtalk animate --model ... --source portrait.png --audio '
    + f'{audio} '
    + ' '.join(f'--{bank} {out}' for bank in motion)
    + ' --out x.mp4'
  )
