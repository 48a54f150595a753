"""Motion weights of whole data sets: what later stages learn to predict, read once by the model of an earlier one."""

import collections
import concurrent.futures
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from data_pipeline import motion, records
from data_pipeline.errors import CorruptRecord, DataError
from data_pipeline.records import Clip, Clips
from edtalk_jax.config import Config, UserError
from edtalk_jax.model import Model, Motion
from edtalk_jax.training import checkpoint, cluster, hand_off, record
from edtalk_jax.training.hand_off import Opened

CALLS = 16  # device calls whose frames are gathered, so that few of them are filled up
AHEAD = 2  # clips that each decoding thread keeps ready


def reader(workdir: str, config: Config, folder: pathlib.Path | None = None) -> Opened:
  """The checkpoint that read the motion weights which a run has learned from, and so says what they mean.

  Args:
    workdir: of that run.
    config: of that run.
    folder: where its files are, if `workdir` is a URL.

  Raises:
    UserError: if it is gone, or has other parameters now.
  """
  try:
    opened = hand_off.open_run(config.data.motion, parts=('model',))
  except UserError as error:
    raise UserError(f'{workdir}: the run that read its motion weights is needed, too: {error}') from None
  read_by = (record.read(folder or pathlib.Path(workdir)).get('motion') or {}).get('fingerprint')
  if read_by and read_by != opened.fingerprint:
    raise UserError(
      f'{workdir}: learned from motion weights that {config.data.motion} read with other parameters than '
      f'it has now, at step {opened.step}; train it again'
    )
  return opened


def ensure(
  source: Opened,
  data: str,
  splits: Sequence[str],
  *,
  batch: int = 32,
  workers: int = 2,
  skip_corrupt: bool = False,
  say: Callable[[str], None] = print,
) -> pathlib.Path:
  """Makes sure that the motion weights of a data set, as `source` reads them, lie beside it.

  Those that are there, whole and of these records, stay. Of several processes, all of which must call this, the first
  one works and the others wait.

  Args:
    source: checkpoint of a run whose model reads them.
    data: folder of records, as `edtalk prepare` wrote it.
    splits: of the records.
    batch: frames per device call.
    workers: threads that decode pictures.
    skip_corrupt: leave out clips whose pictures cannot be read, instead of stopping.
    say: where lines go.

  Returns:
    The folder, for `data_pipeline.motion.Motion`.

  Raises:
    DataError: on missing splits or corrupt records.
    UserError: if the model cannot be read.
  """
  folder, of_records = motion.folder_of(data, source.fingerprint), records.fingerprint(data)

  def missing() -> list[str]:
    return [split for split in splits if not _whole(folder, split, of_records)]

  if checkpoint.from_first_process(lambda: len(missing())):
    # By all processes, as Orbax wants it; the parameters themselves, which the next stage takes over, not an average.
    restored = hand_off.read_opened(source, raw=True)
    if jax.process_index() == 0:
      model = Model(restored.config, restored.params, step=source.step, batch_size=batch)
      about = {'records': of_records, 'fingerprint': source.fingerprint, 'step': source.step, 'run': source.workdir}
      for split in missing():
        clips, started = Clips(data, split), time.monotonic()
        say(
          f'reading the motion weights of split {split} with {source.workdir} at step {source.step}: {len(clips)} clips'
        )
        lengths, weights = read(model, clips, workers, skip_corrupt)
        motion.write(folder, split, lengths, weights, about)
        frames = sum(count for _, count in lengths)
        say(f'wrote {folder / split}: {frames} frames, {frames / (time.monotonic() - started):.0f} frames/s')
    cluster.wait_for_first(f'motion/{source.fingerprint[:16]}/{",".join(splits)}')
  return folder


def _whole(folder: pathlib.Path, split: str, of_records: str) -> bool:
  try:
    there = motion.Motion(folder, split)
    there.verify()
  except DataError:
    return False
  return there.about.get('records') == of_records


def read(model: Model, clips: Clips, workers: int, skip_corrupt: bool) -> tuple[list[tuple[str, int]], Motion]:
  """Reads all frames of all clips.

  Returns:
    Id and number of frames of every clip, and bank name -> weights float32[frames of all clips, size].
  """
  lengths: list[tuple[str, int]] = []
  parts = [model.motion(np.zeros((0, model.image_size, model.image_size, 3), np.uint8))]
  waiting: list[np.ndarray] = []
  for clip_id, frames in _decoded(clips, model.image_size, max(1, workers), skip_corrupt):
    lengths.append((clip_id, len(frames)))
    waiting.append(frames)
    if sum(map(len, waiting)) >= CALLS * model.batch_size:
      parts.append(model.motion(np.concatenate(waiting)))
      waiting = []
  if waiting:
    parts.append(model.motion(np.concatenate(waiting)))
  return lengths, {bank: np.concatenate([part[bank] for part in parts]) for bank in model.banks}


def _decoded(clips: Clips, size: int, workers: int, skip_corrupt: bool) -> Iterator[tuple[str, np.ndarray]]:
  """Yields the id and the frames uint8[frames, size, size, 3] of each clip, decoded by threads ahead of their use."""

  def frames(clip: Clip) -> np.ndarray | None:
    try:
      return clip.frames(size)
    except CorruptRecord:
      if skip_corrupt:
        return None
      raise

  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    pending: collections.deque = collections.deque()
    for clip in _readable(clips, skip_corrupt):
      pending.append((clip.clip_id, pool.submit(frames, clip)))
      if len(pending) > AHEAD * workers:
        yield from _present(*pending.popleft())
    while pending:
      yield from _present(*pending.popleft())


def _readable(clips: Clips, skip_corrupt: bool) -> Iterator[Clip]:
  for number in range(len(clips)):
    try:
      clip = clips[number]
    except CorruptRecord:
      if not skip_corrupt:
        raise
      continue
    if len(clip):
      yield clip


def _present(clip_id: str, future: concurrent.futures.Future) -> Iterator[tuple[str, np.ndarray]]:
  if (found := future.result()) is not None:
    yield clip_id, found
