"""Preparation beyond one machine: the same work on the same jobs as an Apache Beam pipeline (extra `beam`).

What workers finish goes to the cache in the output folder, which therefore all of them must see under one path, as they
must the videos. Records are written from it afterwards by the process that started the job: they do not depend on who
prepared what.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from data_pipeline import prepare, worker
from data_pipeline.errors import DataError

_CHUNK = 8  # videos prepared by one process that Beam's worker starts; to start it takes a second or two


def options_of(text: str) -> Any:
  """Returns Beam's `PipelineOptions` of 'runner=DirectRunner,direct_num_workers=2', the form of `tfds build`.

  Raises:
    DataError: if Beam is not installed.
  """
  _beam()
  from apache_beam.options.pipeline_options import PipelineOptions

  given = filter(None, (option.strip().removeprefix('--') for option in text.split(',')))
  return PipelineOptions(flags=[f'--{option}' for option in given])


def prepare_all(
  tasks: Sequence[worker.Task],
  config: prepare.PrepareConfig,
  options: Any,
  prepare_video: worker.PrepareVideo = prepare.prepare_video,
) -> Iterator[worker.Task]:
  """Prepares videos into their cache entries like `worker.prepare_all`; yields them when all are done.

  Args:
    tasks: what is missing.
    config: how.
    options: `PipelineOptions` that name the runner and its workers, or their text (`options_of`).
    prepare_video: turns one video into clips.

  Raises:
    DataError: in one line, if the pipeline ends in an error, e.g. because a disk is full. What is finished is kept.
  """
  beam = _beam()
  options = options_of(options) if isinstance(options, str) else options
  if not tasks:
    return
  try:
    with beam.Pipeline(options=options) as pipeline:
      # Reshuffle keeps runners from fusing all chunks into one worker's bundle.
      _ = (
        pipeline
        | 'videos' >> beam.Create(list(_chunks(tasks)))
        | 'spread' >> beam.Reshuffle()
        | 'prepare' >> beam.Map(prepare_chunk, config, prepare_video)
      )
  except Exception as error:  # runners raise what they like
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    raise DataError(
      f'--beam: the pipeline ended in an error ({lines[-1].strip()[:300]}); finished videos are kept, '
      'the same command goes on from here'
    ) from None
  yield from tasks


def prepare_chunk(
  tasks: Sequence[worker.Task],
  config: prepare.PrepareConfig,
  prepare_video: worker.PrepareVideo = prepare.prepare_video,
) -> int:
  """Prepares what of `tasks` is not done yet (runners repeat bundles), in a process of its own; returns how many.

  A video that crashes the decoder takes that process along, and not Beam's worker.
  """
  missing = [task for task in tasks if not task.entry.done]
  return sum(1 for _ in worker.prepare_all(missing, config, 1, prepare_video))


def _chunks(tasks: Sequence[worker.Task]) -> Iterator[list[worker.Task]]:
  size = max(1, min(_CHUNK, len(tasks) // 64))  # few videos are spread one by one
  for begin in range(0, len(tasks), size):
    yield list(tasks[begin : begin + size])


def _beam() -> Any:
  try:
    import apache_beam
  except ImportError as error:
    raise DataError(
      f'--beam needs Apache Beam ({error}): pip install "edtalk-jax[beam]"; docs/datasets.md says with '
      'which versions of other packages'
    ) from None
  return apache_beam
