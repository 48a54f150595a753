"""Evaluation of sound to mouth: does the jaw that is heard move as the true one, for people not trained on?

docs/stages/audio_to_mouth.md defines the numbers.
"""

import dataclasses

import numpy as np
from matplotlib.figure import Figure

from data_pipeline import records, windows
from edtalk_jax import model as model_lib
from edtalk_jax.config import UserError
from edtalk_jax.evaluation import face_measures, hearing, page, pictures, stage_report, statistics
from edtalk_jax.evaluation.stage_report import Request, Row

PAINTED = 24  # clips whose frames are generated and read back
SHOWN = 3  # clips in the report
COLUMNS = 10  # frames of a film strip
RIDGE = 1e-2  # strength relative to the weights' mean variance
INTRODUCTION = (
  'The opening of the jaw is read from mouth weights by one linear map, fitted on what the encoder sees in other '
  'people, each clip about its own mean. Correlations are those of a clip in time. Control: the same sound, moved by '
  'half the clip.'
)


@dataclasses.dataclass(frozen=True)
class Track:
  """One clip in time."""

  clip_id: str
  identity: str
  opening: np.ndarray  # float64[frames], of the jaw: the factor of rendered clips, from landmarks otherwise
  seen: np.ndarray  # float32[frames, size], mouth weights that the encoder reads from the frames
  heard: np.ndarray  # the same from the sound
  painted: np.ndarray | None  # the same that the encoder reads from frames painted by sound; None: not painted
  film: tuple[np.ndarray, np.ndarray] | None  # true and painted frames, uint8[frames, size, size, 3]


def run(request: Request) -> dict:
  """Evaluates a run of stage audio_to_mouth; see `evaluation.run.run`."""
  model = model_lib.load(request.workdir, request.which, raw=request.raw)
  clips = records.Clips(request.data, request.split)
  numbers = stage_report.chosen(clips.infos, request.clips, request.seed, windows.usable)
  if len({clips.infos[number].identity for number in numbers}) < 2:
    raise UserError(
      f'{request.data}: split {request.split} needs clips with sound of two people or more, of '
      f'{windows.LEAST_FRAMES} frames each'
    )
  tracks = [
    _track(model, clips[number], painted=place < PAINTED, shown=place < SHOWN) for place, number in enumerate(numbers)
  ]
  read = openings(tracks)
  rows = [
    _row('jaw heard', 'correlation of the jaw read from the sound with the true one', tracks, read['heard']),
    _row(
      'control',
      'the same with the sound moved by half the clip: what speech in general explains',
      tracks,
      [np.roll(values, len(values) // 2) for values in read['heard']],
    ),
    _row('jaw seen', 'the same read from the frames: the most that this mouth space has to give', tracks, read['seen']),
    _row(
      'jaw painted', f'read back from generated frames ({min(PAINTED, len(tracks))} clips)', tracks, read['painted']
    ),
  ]
  return stage_report.finish(
    request,
    clips,
    stage='audio_to_mouth',
    step=model.step,
    rows=rows,
    introduction=INTRODUCTION,
    numbers={},
    sections=[_tracks_section(tracks, read), *_films(tracks)],
  )


def _track(model: model_lib.Model, clip: records.Clip, painted: bool, shown: bool) -> Track:
  frames = clip.frames(model.image_size)
  motion = model.motion(frames)
  heard = hearing.mouth_weights(model, clip)
  read, made = None, None
  if painted:
    made = model.generate(model.encode(frames[0]), {**motion, 'mouth': heard})
    read = model.motion(made)['mouth']
  return Track(
    clip.clip_id, clip.identity, true_opening(clip), motion['mouth'], heard, read, (frames, made) if shown else None
  )


def true_opening(clip: records.Clip) -> np.ndarray:
  """The opening of the jaw in each frame, float64[frames]: the known factor, or the lips' distance in mm."""
  if clip.factors is not None:
    return np.asarray(clip.factors['opening'], np.float64)
  size = clip.record.size
  return face_measures.measure(clip.landmarks(size), size)[:, face_measures.NAMES.index('opening')]


def openings(tracks: list[Track]) -> dict[str, list[np.ndarray]]:
  """Reads the opening from the weights of every track, without its mean; 'painted' is NaN where nothing was painted.

  People are cut into two halves, and the map for one is fitted on what is seen in the other.
  """
  people = sorted({track.identity for track in tracks})
  half = {identity: number % 2 for number, identity in enumerate(people)}
  maps = [
    fit([t.seen for t in tracks if half[t.identity] != k], [t.opening for t in tracks if half[t.identity] != k])
    for k in range(2)
  ]
  found = {'seen': [], 'heard': [], 'painted': []}
  for track in tracks:
    for name, values in found.items():
      weights = getattr(track, name)
      nothing = np.full(len(track.opening), np.nan)
      values.append(nothing if weights is None else _centred(weights) @ maps[half[track.identity]])
  return found


def fit(weights: list[np.ndarray], targets: list[np.ndarray]) -> np.ndarray:
  """Ridge regression of targets float[frames] on weights float[frames, size], each about its clip's mean."""
  x = np.concatenate([_centred(w) for w in weights])
  y = np.concatenate([_centred(t) for t in targets])
  known = ~np.isnan(y)
  x, y = x[known], y[known]
  scale = RIDGE * len(x) * float(np.mean(x**2)) + 1e-12
  return np.linalg.solve(x.T @ x + scale * np.eye(x.shape[1]), x.T @ y)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
  """Pearson's correlation of two tracks; NaN where one is unknown or does not move."""
  known = ~(np.isnan(first) | np.isnan(second))
  if known.sum() < 3 or np.ptp(first[known]) < 1e-9 or np.ptp(second[known]) < 1e-9:
    return float('nan')
  return float(np.corrcoef(first[known], second[known])[0, 1])


def _centred(values: np.ndarray) -> np.ndarray:
  return np.asarray(values, np.float64) - np.nanmean(values, axis=0)


def _row(label: str, note: str, tracks: list[Track], read: list[np.ndarray]) -> Row:
  values = [np.array([correlation(r, t.opening)]) for r, t in zip(read, tracks, strict=True)]
  return Row(label, note, statistics.by_identity(values, [t.identity for t in tracks]))


def _tracks_section(tracks: list[Track], read: dict[str, list[np.ndarray]]) -> str:
  shown = range(min(SHOWN, len(tracks)))
  figure = Figure(figsize=(10, 1.9 * len(shown)), layout='constrained')
  for k in shown:
    axes = figure.add_subplot(len(shown), 1, k + 1)
    axes.plot(_centred(tracks[k].opening), color='#1b2430', linewidth=1.4, label='true')
    axes.plot(read['heard'][k], color='#d1495b', linewidth=1.4, label='heard')
    axes.set_title(tracks[k].clip_id, fontsize=9, loc='left')
    axes.set_xlabel('frame')
  figure.axes[0].legend(fontsize=8, frameon=False)
  return '<h2>The jaw in time</h2>' + stage_report.svg(figure)


def _films(tracks: list[Track]) -> list[str]:
  parts = [
    '<h2>Painted by sound</h2><p>The first frame of the clip is the portrait; head pose and expression follow '
    'the clip, the mouth its sound.</p>'
  ]
  for track in tracks:
    if track.film is None:
      continue
    chosen = pictures.evenly(len(track.opening), COLUMNS)
    rows = [
      (label, '', pictures.strip(frames[chosen]))
      for label, frames in zip(('true', 'by sound'), track.film, strict=True)
    ]
    parts.append(page.sheet(f'<b>{page.text(track.clip_id)}</b>', rows, [f'frame {k}' for k in chosen]))
  return parts
