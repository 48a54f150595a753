"""A batch script for SLURM: one process for each GPU, found by JAX; requeued when preempted or out of time.

python -m launch.slurm --config configs/mouth_pose.py --set data.batch_size=32 --workdir /shared/runs/mouth_pose \\
  --from /shared/runs/reconstruction --data /shared/records --nodes 4 --gpus-per-node 8 \\
  --setup 'source .venv/bin/activate' --submit
"""

import dataclasses
import shlex
from typing import Annotated

import tyro

from edtalk_jax.config import UserError
from edtalk_jax.terminal import run_main
from launch.job import FINAL, Flag, Job, check_batch, deliver

SCRIPT = r"""#!/bin/bash
{directives}

# A shell that waits for srun would otherwise be ended by the SIGTERM that asks the processes to save.
trap : TERM
{setup}
code=0
srun --cpus-per-task={cpus} --kill-on-bad-exit=0 {command} || code=$?
case $code in
  0 | {final}) exit "$code" ;; # done, or for a person to look at
esac
# Preempted (75), a peer lost (76), killed: once more. SLURM requeues by itself what it has preempted.
if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {max_restarts} ]; then
  echo "exit code $code; requeueing job $SLURM_JOB_ID" >&2
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slurm(Job):
  """Prints a batch script for SLURM, or submits it with sbatch.

  Example: python -m launch.slurm --config configs/mouth_pose.py --set data.batch_size=32 --workdir /shared/run
  --from /shared/reconstruction --data /shared/records --nodes 4
  """

  nodes: int = 1
  """How many hosts."""
  gpus_per_node: int = 8
  """GPUs of each, one process for each; 0: one process on the host's CPU."""
  time: str = '24:00:00'
  """Limit of one start, in SLURM's format. The run saves --grace-seconds before it and is requeued."""
  partition: str = ''
  """SLURM's --partition; SLURM's default if empty."""
  account: str = ''
  """SLURM's --account."""
  setup: str = ''
  """A shell command before training, such as the activation of an environment."""
  extra: Annotated[tuple[str, ...], Flag(metavar='OPTION')] = ()
  """Further options of sbatch, e.g. constraint=h100."""

  def script(self) -> str:
    """Returns the batch script. Raises UserError."""
    config = self.loaded()
    if self.nodes < 1 or self.gpus_per_node < 0:
      raise UserError(f'--nodes {self.nodes} --gpus-per-node {self.gpus_per_node}: expected at least 1 and 0')
    cpus = config.data.workers + 2  # the trainer, its threads, and one for each worker that decodes
    tasks = max(1, self.gpus_per_node)  # JAX under SLURM gives each process the GPU of its local number
    check_batch(config, self.nodes * tasks)
    options = {
      'job-name': self.name,
      'partition': self.partition,
      'account': self.account,
      'nodes': self.nodes,
      'ntasks-per-node': tasks,
      'gpus-per-node': self.gpus_per_node or '',
      'cpus-per-task': cpus,
      'time': self.time,
      'signal': f'TERM@{self.grace_seconds}',  # to the processes, not to this shell
      'requeue': None,
      'open-mode': 'append',
      'output': f'{self.name}-%j.log',
    }
    lines = [f'--{name}' if value is None else f'--{name}={value}' for name, value in options.items() if value != '']
    lines += [f'--{option.lstrip("-")}' for option in self.extra]
    return SCRIPT.format(
      directives='\n'.join(f'#SBATCH {line}' for line in lines),
      setup=self.setup,
      command=shlex.join(self.command()),
      cpus=cpus,
      final=' | '.join(map(str, FINAL)),
      max_restarts=self.max_restarts,
    )

  def run(self) -> None:
    """Prints, writes or submits the script."""
    deliver(self.script(), self, ['sbatch'], 'sbatch')


if __name__ == '__main__':
  run_main(lambda: tyro.cli(Slurm, prog='python -m launch.slurm').run())
