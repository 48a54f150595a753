"""A JobSet for Kubernetes, on TPUs or GPUs; or the same job as a command of xpk.

python -m launch.gke --config configs/mouth_pose.py --set data.batch_size=64 model.dtype=bfloat16 \\
  --workdir gs://bucket/mouth_pose --from gs://bucket/reconstruction --data gs://bucket/records \\
  --image europe-docker.pkg.dev/project/repository/edtalk:1 --topology v5e:4x8 --submit

The image holds this repository in /edtalk, installed with its extras. A slice of TPUs is one Job of the set: it lives
and dies as a whole. Exit codes 2 and 3 end the set; any other failure creates all of its Jobs anew.
"""

import dataclasses
import shlex
from typing import Any

import tyro
import yaml

from edtalk_jax.config import UserError
from edtalk_jax.terminal import run_main
from edtalk_jax.training.cluster import ADDRESS, COUNT, INDEX
from launch import tpu
from launch.job import FINAL, Job, check_batch, check_remote, deliver

TASK = 'train'  # name of the one ReplicatedJob and of its container
EXCLUSIVE, NODE_POOL = 'alpha.jobset.sigs.k8s.io/exclusive-topology', 'cloud.google.com/gke-nodepool'
PORT = 8476  # of JAX's coordinator, as JAX's own for TPUs
INDEX_ANNOTATION = "metadata.annotations['batch.kubernetes.io/job-completion-index']"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gke(Job):
  """Prints a Kubernetes JobSet, or submits it with kubectl.

  Example: python -m launch.gke --config configs/mouth_pose.py --set data.batch_size=64 model.dtype=bfloat16
  --workdir gs://b/run --from gs://b/reconstruction --data gs://b/records --image IMAGE --topology v5e:4x8
  """

  image: str
  """Container image that holds this repository in /edtalk."""
  topology: str = ''
  """TPUs of a slice, e.g. v5e:16x16; or give --gpu."""
  slices: int = 1
  """How many slices of TPUs."""
  gpu: str = ''
  """GKE's name of a GPU, e.g. nvidia-h100-80gb."""
  nodes: int = 1
  """How many hosts with GPUs."""
  gpus_per_node: int = 8
  """GPUs of each, all of one process."""
  spot: bool = False
  """Run on spot capacity, which is cheaper and taken away at times."""
  service_account: str = ''
  """Kubernetes service account that may read and write the bucket."""
  disk_gb: int = 100
  """Room for the copy of the records and one checkpoint on each host."""
  xpk_cluster: str = ''
  """Print the command of xpk for this cluster instead of a manifest."""

  def manifest(self) -> dict[str, Any]:
    """Returns the JobSet. Raises UserError."""
    jobs, hosts, chips, selector, resource = self._hardware()
    template = {
      'backoffLimit': 0,  # a process that ends badly takes the others with it; the set starts all of them again
      'completionMode': 'Indexed',
      'parallelism': hosts,
      'completions': hosts,
      'podFailurePolicy': {
        'rules': [
          {'action': 'FailJob', 'onExitCodes': {'containerName': TASK, 'operator': 'In', 'values': list(FINAL)}}
        ],
      },
      'template': {'spec': self._pod(hosts, selector, {resource: chips})},
    }
    return {
      'apiVersion': 'jobset.x-k8s.io/v1alpha2',
      'kind': 'JobSet',
      # Each Job gets a node pool of its own, which on TPUs is a slice.
      'metadata': {'name': self.name, **({'annotations': {EXCLUSIVE: NODE_POOL}} if self.topology else {})},
      'spec': {
        'network': {'enableDNSHostnames': True, 'subdomain': self.name},
        'failurePolicy': {
          'maxRestarts': self.max_restarts,
          'rules': [{'name': 'final', 'action': 'FailJobSet', 'onJobFailureReasons': ['PodFailurePolicy']}],
        },
        'replicatedJobs': [{'name': TASK, 'replicas': jobs, 'template': {'spec': template}}],
      },
    }

  def xpk(self) -> list[str]:
    """Returns the command of xpk that makes the same job. Raises UserError."""
    self._hardware()
    if self.gpu:
      raise UserError('--xpk-cluster: for slices of TPUs; give --topology')
    # Without --restart-on-user-code-failure xpk fails the set on any exit code but those of signals.
    return [
      'xpk',
      'workload',
      'create',
      '--workload',
      self.name,
      '--cluster',
      self.xpk_cluster,
      '--tpu-type',
      tpu.parse(self.topology).accelerator_type,
      '--num-slices',
      str(self.slices),
      '--docker-image',
      self.image,
      '--max-restarts',
      str(self.max_restarts),
      '--restart-on-user-code-failure',
      '--termination-grace-period-seconds',
      str(self.grace_seconds),
      '--command',
      f'cd /edtalk && {shlex.join(self.command())}',
    ]

  def run(self) -> None:
    """Prints, writes or submits the manifest or the command."""
    if self.xpk_cluster:
      deliver(shlex.join(self.xpk()) + '\n', self, ['bash'], 'xpk')
    else:
      deliver(yaml.safe_dump(self.manifest(), sort_keys=False), self, ['kubectl', 'apply', '-f', '-'], 'kubectl')

  def _hardware(self) -> tuple[int, int, int, dict[str, str], str]:
    """Jobs of the set, hosts of each, chips of each host, node selector, name of the resource. Raises UserError."""
    config = self.loaded()
    check_remote(self, 'a cluster')
    if bool(self.topology) == bool(self.gpu):
      raise UserError('give either --topology (TPUs, e.g. v5e:16x16) or --gpu (e.g. nvidia-h100-80gb)')
    if min(self.slices, self.nodes, self.gpus_per_node, self.disk_gb) < 1:
      raise UserError('--slices, --nodes, --gpus-per-node and --disk-gb must be at least 1')
    spot = {'cloud.google.com/gke-spot': 'true'} if self.spot else {}
    if self.gpu:
      check_batch(config, self.nodes * self.gpus_per_node)
      return 1, self.nodes, self.gpus_per_node, {'cloud.google.com/gke-accelerator': self.gpu, **spot}, 'nvidia.com/gpu'
    slice_ = tpu.parse(self.topology)
    check_batch(config, self.slices * slice_.chips)
    selector = {
      'cloud.google.com/gke-tpu-accelerator': slice_.kind.node_label,
      'cloud.google.com/gke-tpu-topology': slice_.shape,
      **spot,
    }
    return self.slices, slice_.hosts, slice_.chips_per_host, selector, 'google.com/tpu'

  def _pod(self, hosts: int, selector: dict[str, str], resources: dict[str, int]) -> dict[str, Any]:
    return {
      'restartPolicy': 'Never',
      'terminationGracePeriodSeconds': self.grace_seconds,
      **({'serviceAccountName': self.service_account} if self.service_account else {}),
      'nodeSelector': selector,
      'containers': [
        {
          'name': TASK,
          'image': self.image,
          'workingDir': '/edtalk',
          # No shell around it, which would keep SIGTERM to itself.
          'command': self.command(),
          **({'env': self._environment(hosts)} if self.gpu else {}),
          'ports': [{'containerPort': PORT}],
          'resources': {'limits': {**resources, 'ephemeral-storage': f'{self.disk_gb}Gi'}},
          'volumeMounts': [{'name': 'shared-memory', 'mountPath': '/dev/shm'}],
        }
      ],
      # Data workers pass batches through it; Kubernetes gives 64 MiB.
      'volumes': [{'name': 'shared-memory', 'emptyDir': {'medium': 'Memory'}}],
    }

  def _environment(self, hosts: int) -> list[dict[str, Any]]:
    """How processes with GPUs find each other. (On TPUs GKE tells them, and JAX reads what it says.)

    JAX could ask Kubernetes, but for that every pod would need the right to read pods and jobs.
    """
    return [
      {'name': ADDRESS, 'value': f'{self.name}-{TASK}-0-0.{self.name}:{PORT}'},
      {'name': COUNT, 'value': str(hosts)},
      {'name': INDEX, 'valueFrom': {'fieldRef': {'fieldPath': INDEX_ANNOTATION}}},
    ]


if __name__ == '__main__':
  run_main(lambda: tyro.cli(Gke, prog='python -m launch.gke').run())
