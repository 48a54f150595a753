"""Evaluation of a sync expert: does it know which sound belongs to the lips of people it was not trained on?

docs/stages/sync_expert.md defines the numbers.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from data_pipeline import records, windows
from edtalk_jax.config import UserError
from edtalk_jax.evaluation import ranking, stage_report, statistics
from edtalk_jax.evaluation.stage_report import Request, Row
from edtalk_jax.networks.sync_expert import SyncExpert
from edtalk_jax.stages import lips, losses
from edtalk_jax.stages.sync_expert import NAME
from edtalk_jax.training import hand_off

BATCH = 32  # windows per device call
REACH = 15  # frames to either side that sound is shifted by
INTRODUCTION = (
  'Every window of five frames of a clip is compared with every mel window of the same clip. Aligned: its own sound. '
  f'Shifted: sound that begins {windows.LEAST_SHIFT} to {REACH} frames earlier or later.'
)


def run(request: Request) -> dict:
  """Evaluates a run of stage sync_expert; see `evaluation.run.run`."""
  restored = hand_off.read_run(request.workdir, request.which, raw=request.raw)
  clips = records.Clips(request.data, request.split)
  numbers = stage_report.chosen(clips.infos, request.clips, request.seed, windows.usable)
  if not numbers:
    raise UserError(f'{request.data}: no clip of split {request.split} has sound and {windows.LEAST_FRAMES} frames')
  network, size = SyncExpert(restored.config.audio.width), restored.config.model.image_size
  found = {}
  for number in numbers:
    clip = clips[number]
    found[clip.clip_id] = (clip.identity, agreements(network, restored.params[NAME], clip, size))
  return _report(request, clips, restored.step, found)


def agreements(network: SyncExpert, variables, clip: records.Clip, size: int) -> np.ndarray:
  """Returns float32[windows, windows]: how well the lips of one window fit the sound of another."""
  count = windows.starts(clip)
  first = np.arange(count)
  frames, boxes = clip.frames(size), windows.boxes(clip, np.arange(len(clip)), size)
  mel = windows.beginning(clip, first)
  sound, seen = [], []
  for begin in range(0, count, BATCH):
    part = np.minimum(np.arange(begin, begin + BATCH), count - 1)  # the last call is filled up
    span = part[:, None] + np.arange(windows.FRAMES)
    one, other = _embed(network, variables, mel[part], frames[span], boxes[span])
    sound.append(np.asarray(one))
    seen.append(np.asarray(other))
  sound, seen = (np.concatenate(parts)[:count] for parts in (sound, seen))
  return seen @ sound.T


@functools.partial(jax.jit, static_argnums=0)
def _embed(network: SyncExpert, variables, mel, frames, boxes) -> tuple[jax.Array, jax.Array]:
  return network.apply(variables, mel, lips.faces(losses.to_unit_range(frames), jnp.asarray(boxes)))


def at_offset(agreement: np.ndarray, offset: int) -> np.ndarray:
  """Scores of all windows with sound that begins `offset` frames later."""
  return np.diagonal(agreement, offset)


def shifted(agreement: np.ndarray) -> np.ndarray:
  """All scores with sound that is shifted, by `windows.LEAST_SHIFT` to `REACH` frames."""
  apart = np.abs(np.subtract.outer(np.arange(len(agreement)), np.arange(len(agreement))))
  return agreement[(apart >= windows.LEAST_SHIFT) & (apart <= REACH)]


def best_offset(agreement: np.ndarray) -> int:
  """The offset at which a clip's sound fits best, on average over its windows: how late its sound is, in frames.

  Only offsets at which half of the windows still have sound to compare with are tried.
  """
  reach = min(REACH, len(agreement) // 2)
  offsets = range(-reach, reach + 1)
  return max(offsets, key=lambda offset: (float(at_offset(agreement, offset).mean()), -abs(offset)))


def _report(request: Request, clips: records.Clips, step: int, found: dict[str, tuple[str, np.ndarray]]) -> dict:
  people = [identity for identity, _ in found.values()]
  scores = [agreement for _, agreement in found.values()]
  aligned, others = [at_offset(s, 0) for s in scores], [shifted(s) for s in scores]
  clip_means = [np.array([at_offset(s, 0).mean()]) for s in scores]
  clip_others = [
    np.array([at_offset(s, o).mean() for o in _offsets(s) if abs(o) >= windows.LEAST_SHIFT]) for s in scores
  ]
  best = {clip_id: best_offset(agreement) for clip_id, (_, agreement) in found.items()}
  rows = [
    Row(
      'AUC of windows',
      'probability that the aligned window scores higher than a shifted one; 0.5 by chance',
      ranking.auc_by_identity(aligned, others, people, seed=request.seed),
    ),
    Row(
      'AUC of clips',
      'the same of means over the windows of a clip, as an expert is used to judge a video',
      ranking.auc_by_identity(clip_means, clip_others, people, seed=request.seed),
    ),
    Row(
      'offset within one frame',
      'share of clips whose sound fits best where it is, or one frame beside',
      statistics.by_identity([np.array([float(abs(o) <= 1)]) for o in best.values()], people),
    ),
  ]
  curve = _curve(scores, people)
  late = {clip_id: offset for clip_id, offset in best.items() if abs(offset) > 1}
  notes = []
  median = float(np.median(list(best.values())))
  if abs(median) > 1:
    notes.append(
      f'The sound of these clips fits best when it is taken {median:g} frames later: they are probably all '
      'out of sync (av_offset of the records), or the expert was trained on such.'
    )
  sections = [
    '<h2>Agreement by offset</h2><p>Mean agreement when the sound begins so many frames later than the lips. '
    'An expert that works peaks at 0.</p>' + stage_report.svg(_figure(curve))
  ]
  return stage_report.finish(
    request,
    clips,
    stage=NAME,
    step=step,
    rows=rows,
    introduction=INTRODUCTION,
    sections=sections,
    notes=notes,
    numbers={'curve': curve, 'median_offset': median, 'clips_out_of_sync': late},
  )


def _offsets(agreement: np.ndarray) -> range:
  reach = min(REACH, len(agreement) - 1)
  return range(-reach, reach + 1)


def _curve(scores, people) -> list[dict[str, float]]:
  """Mean agreement at every offset, and its interval."""
  curve = []
  for offset in range(-REACH, REACH + 1):
    values = [at_offset(s, offset) for s in scores]
    interval = statistics.by_identity(values, people)
    curve.append({'offset': offset, **ranking.plain(interval)})
  return curve


def _figure(curve: list[dict[str, float]]) -> Figure:
  figure = Figure(figsize=(7, 2.8), layout='constrained')
  axes = figure.add_subplot()
  offsets = [point['offset'] for point in curve]
  axes.fill_between(offsets, [p['low'] for p in curve], [p['high'] for p in curve], color='#9db8d9', alpha=0.5)
  axes.plot(offsets, [p['mean'] for p in curve], color='#1f5fa8', marker='o', markersize=3)
  axes.set_xlabel('sound later by (frames of 40 ms)')
  axes.set_ylabel('agreement')
  return figure
