"""One training job, whatever runs it: the command, when it is started again, and how long it may take to stop.

SLURM, GKE and TPU VM each have a generator beside this file. A scheduler is told one rule, made of the exit codes of
`edtalk_jax.terminal`: 0 is the end, FINAL codes are for a person to look at, everything else is tried again.
"""

import dataclasses
import pathlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from typing import Annotated

import tyro

from edtalk_jax import settings as settings_lib
from edtalk_jax.config import Config, UserError
from edtalk_jax.terminal import MISTAKE, STOPPED

# Another start would end in the same way. Tried again are 69 (a store or worker failed), 75 (preempted), 76 (a peer was
# lost), signals, and 1: on accelerators the loss of a host often shows as an error of a collective, which looks like a
# defect of ours.
FINAL = (MISTAKE, STOPPED)

Flag = tyro.conf.arg


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
  """What is common to all places where a job can run."""

  config: Annotated[str, Flag(metavar='FILE')]
  """Python file with get_config(), as the hosts see it: relative to their copy of this repository."""
  workdir: Annotated[str, Flag(metavar='DIR')]
  """Folder of the run, which all hosts see: a shared file system, or gs:// or s3://."""
  data: Annotated[str, Flag(metavar='DIR')]
  """Folder of records, which all hosts see; on object storage each host copies it once."""
  start_from: Annotated[str | None, Flag(name='from', metavar='DIR')] = None
  """Folder of an earlier stage's run."""
  set: Annotated[tuple[str, ...], Flag(metavar='NAME=VALUE')] = ()
  """Fields of the config to replace."""
  name: str = 'edtalk'
  """Of the job: lower-case letters, digits and dashes."""
  max_restarts: int = 20
  """How often the job is started again after a preemption or a loss."""
  grace_seconds: int = 300
  """From being asked to stop until being killed: one step and one save have to fit."""
  out: Annotated[str | None, Flag(metavar='FILE')] = None
  """Write what would be submitted to this file instead of printing it."""
  submit: bool = False
  """Submit it, instead of printing it."""

  def loaded(self) -> Config:
    """Reads the configuration here, so that a mistake in it is found before anything is rented. Raises UserError."""
    if not re.fullmatch(r'[a-z]([a-z0-9-]{0,38}[a-z0-9])?', self.name):
      raise UserError(f'--name {self.name}: expected up to 40 lower-case letters, digits and dashes')
    if self.max_restarts < 0 or self.grace_seconds < 1:
      raise UserError('--max-restarts must be at least 0, --grace-seconds at least 1')
    return settings_lib.load(self.config, self.set)

  def command(self) -> list[str]:
    """The words that every process runs, in the root of the repository."""
    words = ['python', 'train.py', '--distributed', '--config', self.config, '--workdir', self.workdir]
    words += ['--data', self.data]
    words += ['--from', self.start_from] if self.start_from else []
    words += [word for setting in self.set for word in ('--set', setting)]
    return words


def check_batch(config: Config, devices: int) -> None:
  """Raises UserError if the devices of a job cannot share its batch; `mesh.spatial` of them share each picture."""
  spatial, batch = config.mesh.spatial, config.data.batch_size
  if devices % spatial:
    raise UserError(f'mesh.spatial={spatial}: expected a divisor of the {devices} devices of this job')
  groups = devices // spatial
  if batch % groups:
    what = f'{devices} devices of this job' if spatial == 1 else f'{groups} groups of {spatial} devices of this job'
    raise UserError(
      f'data.batch_size={batch}: expected a multiple of the {what}, e.g. --set '
      f'data.batch_size={max(1, batch // groups) * groups}'
    )


def check_remote(job: Job, where: str) -> None:
  """Raises UserError if a folder can only be a local one of each host."""
  for name, path in (('--workdir', job.workdir), ('--data', job.data), ('--from', job.start_from)):
    if path and '://' not in path and not path.startswith('/'):
      raise UserError(
        f'{name} {path}: hosts of {where} share no working directory; give gs://..., s3://... or the '
        'absolute path of a file system that all of them mount'
      )


def deliver(text: str, job: Job, submit: Sequence[str], tool: str) -> None:
  """Prints `text`, or writes it to `--out`, or submits it: the command `submit` reads it from standard input.

  Raises:
    UserError: if `tool`, which does the work, is not installed, or `submit` refuses.
  """
  if job.out:
    pathlib.Path(job.out).write_text(text, encoding='utf-8')
    print(f'wrote {job.out}; submit it with: {shlex.join(submit)} < {job.out}')
  if job.submit:
    if not shutil.which(tool):
      raise UserError(f'--submit: {tool} is not installed here; without --submit, what it would get is printed')
    done = subprocess.run(submit, input=text, text=True, check=False)
    if done.returncode:
      raise UserError(f'--submit: {shlex.join(submit)} ended with code {done.returncode}')
  elif not job.out:
    print(text, end='')
