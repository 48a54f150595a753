"""Cloud TPU VMs by queued resources: one script that requests them, trains, and requests them again when preempted.

python -m launch.tpu_vm --config configs/mouth_pose.py --set data.batch_size=64 model.dtype=bfloat16 \\
  --workdir gs://bucket/mouth_pose --from gs://bucket/reconstruction --data gs://bucket/records \\
  --image europe-docker.pkg.dev/project/repository/edtalk:1 --topology v5e:4x8 --zone europe-west4-b --submit

The script stays with the request, on any machine that is always on. What it starts on every host runs the image, which
holds this repository in /edtalk, until exit code 0, 2 or 3, and then deletes the request, so that nothing is paid for.
"""

import dataclasses
import shlex

import tyro

from edtalk_jax.config import UserError
from edtalk_jax.terminal import run_main
from launch import tpu
from launch.job import FINAL, Job, check_batch, check_remote, deliver

# On every host, at every boot, as root. Output: journalctl -u google-startup-scripts
STARTUP = r"""#!/bin/bash
metadata() {{
  curl -sf -H 'Metadata-Flavor: Google' "http://metadata.google.internal/computeMetadata/v1/$1"
}}
gcloud auth configure-docker {registry} --quiet
starts=0
while :; do
  code=0
  docker rm -f train 2>/dev/null # left by a host that was switched off
  docker run --rm --name train --privileged --net=host --shm-size=16g --stop-timeout={grace} \
    --env=EDTALK_CACHE=/cache --volume=/var/cache/edtalk:/cache --workdir=/edtalk {image} {command} || code=$?
  case $code in
    0 | {final}) break ;; # done, or for a person to look at
  esac
  starts=$((starts + 1))
  if [ "$starts" -gt {max_restarts} ]; then break; fi
  echo "exit code $code; starting again ($starts of {max_restarts})"
  sleep $((starts < 10 ? 10 * starts : 300)) # longer and longer: a registry or network may be away for minutes
done
echo "training ended with exit code $code"
if [ "$(metadata instance/attributes/agent-worker-number)" = 0 ]; then
  gcloud compute tpus queued-resources delete {name} --zone={zone} --force --quiet --async
fi
"""

SUPERVISE = r"""#!/bin/bash
{{ # read as a whole, before gcloud can read from the same standard input
set -u
startup=$(mktemp)
trap 'rm -f "$startup"' EXIT
cat > "$startup" <<'END_OF_STARTUP'
{startup}END_OF_STARTUP

state() {{
  gcloud compute tpus queued-resources describe {name} {where} --format='value(state.state)' 2>/dev/null
}}

request() {{
  {create} \
    --metadata-from-file=startup-script="$startup"
}}

if [ -z "$(state)" ]; then request || exit 1; fi
while sleep 60; do
  case $(state) in
    SUSPENDED | FAILED) # preempted, or never given: a request can only be made anew
      gcloud compute tpus queued-resources delete {name} {where} --force --quiet
      request || exit 1 ;;
    '') # the hosts have deleted it. Twice, as one question may be lost on the way
      sleep 60
      if [ -z "$(state)" ]; then break; fi ;;
  esac
done
echo '{name} has ended; look into {workdir}'
exit
}} < /dev/null
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TpuVm(Job):
  """Prints a script that trains on Cloud TPU VMs, or runs it.

  Example: python -m launch.tpu_vm --config configs/mouth_pose.py --set data.batch_size=64 model.dtype=bfloat16
  --workdir gs://b/run --from gs://b/reconstruction --data gs://b/records --image IMAGE --topology v5e:4x8
  --zone europe-west4-b
  """

  image: str
  """Container image that holds this repository in /edtalk."""
  topology: str
  """TPUs of a slice, e.g. v5e:16x16."""
  zone: str
  """Zone of Google Cloud; the bucket should be in its region."""
  project: str = ''
  """Project of Google Cloud; gcloud's default if empty."""
  slices: int = 1
  """How many slices."""
  spot: bool = False
  """Request spot capacity, which is cheaper and taken away at times."""
  service_account: str = ''
  """That may read and write the bucket and delete the request; the project's default if empty."""

  def create(self) -> list[str]:
    """Returns gcloud's command that requests the TPUs, without the startup script. Raises UserError."""
    slice_ = tpu.parse(self.topology)
    if self.slices < 1:
      raise UserError(f'--slices {self.slices}: expected at least 1')
    check_batch(self.loaded(), self.slices * slice_.chips)
    nodes = ['--node-id', self.name] if self.slices == 1 else ['--node-count', str(self.slices)]
    return [
      'gcloud',
      'compute',
      'tpus',
      'queued-resources',
      'create',
      self.name,
      *self._where(),
      *nodes,
      '--accelerator-type',
      slice_.accelerator_type,
      '--runtime-version',
      slice_.kind.runtime,
      '--scopes',
      'https://www.googleapis.com/auth/cloud-platform',
      *(['--service-account', self.service_account] if self.service_account else []),
      *(['--spot'] if self.spot else []),
    ]

  def startup(self) -> str:
    """Returns the script that runs on every host."""
    return STARTUP.format(
      registry=shlex.quote(self.image.split('/')[0]),
      grace=self.grace_seconds,
      image=shlex.quote(self.image),
      command=shlex.join(self.command()),
      final=' | '.join(map(str, FINAL)),
      max_restarts=self.max_restarts,
      name=self.name,
      zone=shlex.quote(self.zone),
    )

  def script(self) -> str:
    """Returns the script that requests the TPUs until training has ended. Raises UserError."""
    check_remote(self, 'a TPU slice')
    return SUPERVISE.format(
      startup=self.startup(),
      name=self.name,
      where=shlex.join(self._where()),
      create=shlex.join(self.create()),
      workdir=self.workdir.replace("'", ''),
    )

  def run(self) -> None:
    """Prints, writes or runs the script."""
    deliver(self.script(), self, ['bash'], 'gcloud')

  def _where(self) -> list[str]:
    return ['--zone', self.zone, *(['--project', self.project] if self.project else [])]


if __name__ == '__main__':
  run_main(lambda: tyro.cli(TpuVm, prog='python -m launch.tpu_vm').run())
