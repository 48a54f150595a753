"""What a run learns from: clips of records as the stage's sampler draws them, or noise of the same shapes."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping

import jax

from data_pipeline import loader, records, sampling
from edtalk_jax import storage
from edtalk_jax.config import Config, UserError
from edtalk_jax.stages.stage import Stage
from edtalk_jax.training import extraction, feed
from edtalk_jax.training import hand_off as hand_off_lib
from edtalk_jax.training.feed import HostBatch
from edtalk_jax.training.hand_off import Opened

Say = Callable[[str], None]


def found_from_anywhere(config: Config) -> Config:
  """The configuration with a whole path in `data.motion`, which evaluation and animation read again."""
  motion = config.data.motion
  if not motion or storage.is_remote(motion):
    return config
  whole = str(pathlib.Path(storage.local(motion)).resolve())
  return dataclasses.replace(config, data=dataclasses.replace(config.data, motion=whole))


def motion_source(config: Config, stage: Stage, data: str | None, say: Say) -> Opened | None:
  """The checkpoint that reads the motion weights which the stage's examples hold; None for stages without.

  Raises:
    UserError: if the stage needs one and `data.motion` names none, or several hosts do not share the records in `data`.
  """
  if config.data.synthetic_batch or not sampling.get(stage.sampler).motion:
    return None
  if not config.data.motion:
    raise UserError(
      f'stage {stage.name} learns from motion weights; give --set data.motion=RUN, the run that reads '
      'them, of stage mouth_pose or a later one'
    )
  if jax.process_count() > 1 and data is not None and storage.is_remote(data):
    raise UserError(
      f'--data {data}: motion weights are written beside the records, which several hosts must share; '
      f'give a folder that all of them mount, or train stage {stage.name} on one host'
    )
  return hand_off_lib.open_run(config.data.motion, parts=('model',), say=say)


def beside(config: Config, stage: Stage, data: str | None) -> Mapping[str, str]:
  """Name -> file of what examples are made of beside records; '' where there is none."""
  return {} if stage.inputs is None or config.data.synthetic_batch else stage.inputs(data)


def prepare(config: Config, stage: Stage, data: str | None, source: Opened | None, say: Say) -> 'Examples':
  """The examples of a run; motion weights are read by `source`, of `motion_source`, now if they were not before."""
  examples = Examples(config, stage, data)
  if source is None:
    return examples
  splits = [stage.split, *(['val'] if examples.validates else [])]
  skip = config.data.on_corrupt == 'skip'
  folder = extraction.ensure(source, data, splits, workers=config.data.workers, skip_corrupt=skip, say=say)
  return dataclasses.replace(examples, motion=folder)


@dataclasses.dataclass(frozen=True)
class Examples:
  """The examples of one run.

  Attributes:
    config: of the run.
    stage: of the run, which names their sampler, split and arrays.
    data: folder of records on this machine; None with `data.synthetic_batch`.
    motion: folder of their motion weights; None for stages without.
  """

  config: Config
  stage: Stage
  data: str | None
  motion: pathlib.Path | None = None

  @property
  def validates(self) -> bool:
    """Whether there are held-out examples: of the split val, or those that the stage's own split holds out."""
    if not self.config.log.validate_batches or self.config.data.synthetic_batch:
      return False
    return bool(self.stage.held_out) or 'val' in records.splits(self.data)

  def batches(self, start_step: int, workers: int, held_out: bool = False) -> Iterator[HostBatch]:
    """This process' part of each batch, without end, from that of `start_step` on."""
    config, stage = self.config, self.stage
    if config.data.synthetic_batch:
      return feed.noise(config, stage, start_step)
    sampler, split = stage.sampler, stage.split
    if held_out:
      sampler, split = (stage.held_out, stage.split) if stage.held_out else (stage.sampler, 'val')
    return loader.make_loader(
      self.data,
      split=split,
      sampler=sampler,
      image_size=config.model.image_size,
      batch_size=config.data.batch_size,
      seed=config.run.seed,
      start_step=start_step,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
      workers=workers,
      mouth_canvas=config.data.mouth_canvas,
      skip_corrupt=config.data.on_corrupt == 'skip',
      motion='' if self.motion is None else str(self.motion),
      emotions=config.data.emotions,
      **stage.sampling,
    )

  def first(self) -> HostBatch:
    """The run's first batch."""
    with contextlib.closing(self.batches(start_step=0, workers=0)) as batches:
      return next(batches)

  def held_out(self, say: Say) -> list[HostBatch]:
    """The first held-out batches, if there are any: the same at every checkpoint, kept on the host."""
    if not self.validates:
      return []
    with contextlib.closing(self.batches(start_step=0, workers=0, held_out=True)) as batches:
      found = [next(batches) for _ in range(self.config.log.validate_batches)]
    for text in sorted({str(text) for batch in found for text in batch.get('corrupt', ()) if text}):
      say(f'validation: {text}; other clips take its place (data.on_corrupt=skip)')
    return found
