"""Evaluation of a personalised model: are frames of the person that it did not learn from painted better than before?

docs/stages/personalize.md defines the numbers.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from data_pipeline import one_person, records
from data_pipeline.one_person import Place, Video
from edtalk_jax.evaluation import image_metrics, page, pictures, stage_report
from edtalk_jax.evaluation.stage_report import Request, Row
from edtalk_jax.evaluation.statistics import Interval, by_identity
from edtalk_jax.model import Model, load
from edtalk_jax.training import record

FRAMES = 10  # held-out frames of each video, evenly spaced
SHOWN = 3  # videos in pictures
METRICS = {'PSNR, dB': image_metrics.psnr, 'SSIM': image_metrics.ssim, 'L1, grey levels': image_metrics.l1}
BEFORE, AFTER = 'before', 'after'
INTRODUCTION = (
  'The first frame of each video is the portrait, and the frames at its end, which training never saw, drive every '
  'motion space and are the truth. The same is done with the model from which the run started.'
)


@dataclasses.dataclass(frozen=True)
class Scored:
  """One video.

  Attributes:
    name: of its first clip.
    source, truth: uint8[size, size, 3], uint8[frames, size, size, 3].
    painted: model -> frames like `truth`.
  """

  name: str
  source: np.ndarray
  truth: np.ndarray
  painted: dict[str, np.ndarray]

  def values(self, model: str, metric) -> np.ndarray:
    """A metric of every frame."""
    return np.array([metric(one, other) for one, other in zip(self.painted[model], self.truth, strict=True)])


def run(request: Request) -> dict:
  """Evaluates a run of stage personalize on the split of the records that it was trained on, whatever was asked for."""
  about = record.read(pathlib.Path(request.workdir))
  config = record.config_of(about, request.workdir)
  request = dataclasses.replace(request, split=config.personalize.split)
  clips = records.Clips(request.data, request.split)
  numbers = one_person.clips_of(clips.infos, config.personalize.identity)
  videos = list(dict.fromkeys(one_person.videos(clips.infos, numbers).values()))[: request.clips or None]
  models, notes = {AFTER: load(request.workdir, request.which, raw=request.raw)}, []
  if about['start_from']:
    models[BEFORE] = load(about['start_from'])
  else:
    notes.append('The run started from scratch: there is nothing to compare it with.')
  scored = [_score(models, clips, video) for video in videos]
  return stage_report.finish(
    request,
    clips,
    stage=config.run.stage,
    step=models[AFTER].step,
    numbers={},
    rows=_rows(scored, request.seed),
    introduction=INTRODUCTION,
    sections=[_pictures(scored[:SHOWN])],
    notes=notes,
    unit='videos',
  )


def _score(models: dict[str, Model], clips: records.Clips, video: Video) -> Scored:
  chosen = np.unique(np.linspace(0, len(video.late) - 1, min(FRAMES, len(video.late))).round().astype(int))
  size = models[AFTER].image_size
  source, *truth = _frames(clips, [video.early[0], *(video.late[k] for k in chosen)], size)
  painted = {
    name: model.generate(model.encode(source), model.motion(np.stack(truth))) for name, model in models.items()
  }
  return Scored(clips.infos[video.early[0].clip].clip_id, source, np.stack(truth), painted)


def _frames(clips: records.Clips, places: Sequence[Place], size: int) -> list[np.ndarray]:
  opened = {number: clips[number] for number in {place.clip for place in places}}
  return [opened[place.clip].frame(place.frame, size) for place in places]


def _rows(scored: Sequence[Scored], seed: int) -> list[Row]:
  """Each metric after, before, and its gain."""
  rows = []
  for name, metric in METRICS.items():
    after = [video.values(AFTER, metric) for video in scored]
    rows.append(Row(name, 'of held-out frames, after', _interval(scored, after, seed)))
    if BEFORE in scored[0].painted:
      before = [video.values(BEFORE, metric) for video in scored]
      gain = [one - other for one, other in zip(after, before, strict=True)]
      rows.append(Row(f'{name}: gain', 'after minus before', _interval(scored, gain, seed)))
  return rows


def _interval(scored: Sequence[Scored], values: Sequence[np.ndarray], seed: int) -> Interval:
  return by_identity(values, [video.name for video in scored], seed=seed)


def _pictures(scored: Sequence[Scored]) -> str:
  sheets = ['<h2>Held-out frames</h2>']
  for video in scored:
    rows = [('driver = truth', '', pictures.strip(video.truth))]
    rows += [(name, '', pictures.strip(video.painted[name])) for name in (BEFORE, AFTER) if name in video.painted]
    sheets.append(
      page.sheet(
        f'<b>{page.text(video.name)}</b>',
        rows,
        [str(k) for k in range(len(video.truth))],
        portrait=pictures.strip([video.source]),
      )
    )
  return '\n'.join(sheets)
