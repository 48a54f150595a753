"""Landmarks and offsets of the sound, as `edtalk prepare` measures them, beside those that came with the clips.

  edtalk prepare ../shared/corpus/clips --out records
  python -m benchmarks.corpus records ../shared/corpus

The clips' folder has clips/ID.mp4, landmarks/ID.npy (float [frames, 68, 2], pixels of the clip's frames) and clips.csv
with av_sync and av_shift_frames: by how many frames their authors found the sound late and moved it earlier. Here it is
moved back by as many, and measured again.
"""

import argparse
import collections
import csv
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from data_pipeline import media, records
from data_pipeline.errors import DataError
from data_pipeline.quality import synchrony
from data_pipeline.quality.limits import Limits
from data_pipeline.rates import AUDIO_RATE, FPS

SIDE = 256  # pixels of the frame in which distances are given
REGIONS = {
  'eyes': slice(36, 48),
  'mouth': slice(48, 68),
  'nose': slice(27, 36),
  'brows': slice(17, 27),
  'jaw': slice(0, 17),
  'mouth, eyes, brows': np.r_[17:27, 36:68],
  'all': slice(0, 68),
}
_SAMPLES = AUDIO_RATE // FPS


@dataclasses.dataclass(frozen=True)
class Pair:
  """What both say of a prepared clip.

  Attributes:
    video: the clip of theirs that it was cut from.
    ours, theirs: landmarks, float64[frames, 68, 2] in pixels of their frames of 256.
    valid: bool[frames], where ours were found.
    curve: `synchrony.correlations` of our landmarks with the sound as it was before they moved it; None without sound.
    sync: their av_sync.
    shift: their av_shift_frames.
  """

  video: str
  ours: np.ndarray
  theirs: np.ndarray
  valid: np.ndarray
  curve: np.ndarray | None
  sync: str
  shift: int


def pairs(folder: str, corpus: pathlib.Path) -> Iterator[Pair]:
  """Yields what can be compared: the clips of records `folder` that were cut from the videos of `corpus`."""
  with open(corpus / 'clips.csv', newline='', encoding='utf-8') as file:
    rows = {row['id']: row for row in csv.DictReader(file)}
  for split in records.splits(folder):
    for clip in records.Clips(folder, split):
      video, begin = clip.record.video_id, clip.record.begin_frame
      if video not in rows:
        continue
      row, whole = rows[video], np.load(corpus / 'landmarks' / f'{video}.npy')
      ours = _in_source(clip)
      heard = row['has_audio'] == 'true' and row['av_sync']
      curve = _curve(ours, corpus / 'clips' / f'{video}.mp4', begin, int(row['av_shift_frames'])) if heard else None
      yield Pair(
        video,
        ours,
        whole[begin : begin + len(clip)],
        clip.landmarks_valid,
        curve,
        row['av_sync'],
        int(row['av_shift_frames'] or 0),
      )


def _in_source(clip: records.Clip) -> np.ndarray:
  left, top, side = clip.record.crop_box
  return (clip.landmarks() + 0.5) * side / clip.record.size - 0.5 + np.float64([left, top])


def _curve(landmarks: np.ndarray, path: pathlib.Path, begin: int, shift: int) -> np.ndarray:
  """Correlates a mouth with the sound that is moved later by `shift` frames, some of it beyond both ends."""
  first, end = begin - synchrony.SEARCH, begin + len(landmarks) + synchrony.SEARCH
  sound = media.AudioReader(path).take(0, max(0, end - shift) * _SAMPLES)
  sound = np.pad(sound, (max(0, shift) * _SAMPLES, 0))[max(0, -shift) * _SAMPLES :]
  first = max(0, first)
  level = synchrony.voice_level(sound[first * _SAMPLES : end * _SAMPLES])
  return synchrony.correlations(synchrony.mouth_opening(landmarks), level, first - begin)


def upright(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
  """Turns vectors [n, 68, 2] by the angles at which the eyes of landmarks `reference` [n, 68, 2] are level."""
  eyes = reference[:, 42:48].mean(axis=1) - reference[:, 36:42].mean(axis=1)
  x, y = (eyes / np.linalg.norm(eyes, axis=-1, keepdims=True)).T
  turn = np.stack([np.stack([x, y], -1), np.stack([-y, x], -1)], axis=1)
  return np.einsum('nij,nkj->nki', turn, points)


def distances(found: Sequence[Pair]) -> dict[str, tuple[float, float, float, float]]:
  """Returns region -> (median distance, the same without each point's bias, the bias to the right, and down).

  The bias of a point is the median of ours minus theirs over all frames, in a face with level eyes: what the two mean
  by the point. Pixels of their frames.
  """
  apart = np.concatenate([upright(pair.ours - pair.theirs, pair.theirs)[pair.valid] for pair in found])
  bias = np.median(apart, axis=0)
  table = {}
  for name, part in REGIONS.items():
    raw, freed = (np.linalg.norm(values[:, part], axis=-1) for values in (apart, apart - bias))
    table[name] = (float(np.median(raw)), float(np.median(freed)), *map(float, bias[part].mean(axis=0)))
  return table


def offsets(found: Sequence[Pair], trust: float) -> list[tuple[synchrony.Offset, Pair]]:
  """Measures the sound where the authors are sure of it, as `edtalk prepare` does, and returns what is trusted."""
  by_video: Mapping[str, list[Pair]] = collections.defaultdict(list)
  for pair in found:
    if pair.curve is not None and pair.sync == 'ok':
      by_video[pair.video].append(pair)
  measured = []
  for group in by_video.values():
    lengths = [len(pair.ours) for pair in group]
    measured += zip(synchrony.resolve([pair.curve for pair in group], lengths, trust), group, strict=True)
  return [(offset, pair) for offset, pair in measured if offset.confidence >= trust]


def main(arguments: Sequence[str] | None = None) -> int:
  """Prints both tables."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('records')
  parser.add_argument('corpus', type=pathlib.Path)
  options = parser.parse_args(arguments)
  found = list(pairs(options.records, options.corpus))
  if not found:
    raise DataError(f'{options.records}: no clip of {options.corpus}')
  frames = sum(int(pair.valid.sum()) for pair in found)
  print(f'landmarks, {frames} frames of {len(found)} clips: median distance, without bias; bias to the right, down')
  for name, values in distances(found).items():
    print(f'  {name:20s}{values[0]:5.1f}{values[1]:6.1f}{values[2]:+7.1f}{values[3]:+6.1f}')
  for trust in (0.0, 0.2, 0.25, Limits().trust):
    _print_offsets(offsets(found, trust), trust)
  return 0


def _print_offsets(measured: Sequence[tuple[synchrony.Offset, Pair]], trust: float) -> None:
  ours, theirs = (np.array(values) for values in zip(*[(o.frames, pair.shift) for o, pair in measured], strict=True))
  moved = theirs != 0
  shares = [
    f'{(np.abs(np.round(ours) - theirs) <= 1)[which].mean():.0%} of {which.sum()}'
    for which in (np.ones(len(moved), bool), moved)
  ]
  print(
    f'offsets, confidence at least {trust:.2f}: within 1 frame {shares[0]} clips, {shares[1]} that were moved; '
    f'correlation {np.corrcoef(ours, theirs)[0, 1]:.2f}'
  )
  if trust >= Limits().trust:
    for offset, pair in measured:
      if abs(round(offset.frames) - pair.shift) > 1:
        print(f'  {pair.video}: {offset.frames:.1f} (confidence {offset.confidence:.2f}), theirs {pair.shift}')


if __name__ == '__main__':
  try:
    sys.exit(main())
  except DataError as error:
    sys.exit(f'error: {error}')
