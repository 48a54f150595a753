"""`edtalk reproduce`: published tables, made again."""

import itertools
from typing import Annotated, Literal

import tyro

from edtalk_jax.arguments import File, Folder, OptionalFolder, Overrides

What = Annotated[Literal['paper-table'], tyro.conf.Positional]
Named = Annotated[tuple[str, ...], tyro.conf.arg(metavar='NAME=DIR [...]')]


def reproduce(
  what: What,
  train: Folder,
  data: Named,
  out: Folder,
  config: File = 'configs/chain.py',
  settings: Overrides = (),
  split: str = 'test',
  clips: int = 0,
  frames: int = 0,
  videos: int = 100,
  seed: int = 0,
  judges: OptionalFolder = None,
) -> None:
  """Trains all that a table of the paper needs, measures it, and sets the published numbers beside ours.

  Example: edtalk reproduce paper-table --train records/both --data MEAD=records/mead HDTF=records/hdtf --out runs/paper

  Run the same command again to go on where it was stopped. docs/reproducing.md says what it takes.

  Args:
    what: The table: EDTalk-A and EDTalk-V by PSNR, SSIM, landmark distances, FID, Sync-C, Acc_emo.
    train: Folder of records to train on, as `edtalk prepare` wrote it.
    data: Records to measure on; of MEAD and HDTF there are published numbers.
    out: Folder of the runs, their measurements and the table (report.html, table.md, table.json).
    config: Python file whose get_config() returns a Chain.
    settings: Fields to replace in every config of the chain, or in one: mouth_pose:run.steps=8000.
    split: Split of the records that is measured.
    clips: Clips of each data set, people in turn; 0 takes all.
    frames: Frames of each clip, evenly spaced; 0 takes all.
    videos: Clips whose consecutive frames are measured too: flicker, lip synchrony, emotion.
    seed: Of the choice of clips.
    judges: Folder with other people's networks, for FID, Sync-C, Acc_emo and so on; docs/metrics.md names the files.
  """
  from edtalk_jax.chain import plan
  from edtalk_jax.evaluation.evaluate import Settings
  from edtalk_jax.reproduction import run

  chain = plan.load(config, [*itertools.chain(*settings)])
  wanted = Settings(clips=clips, frames=frames, videos=videos, seed=seed, embedded=0)
  run.run(chain, train, run.named(data), out, settings=wanted, split=split, judges=judges)
