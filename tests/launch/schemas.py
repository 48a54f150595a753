"""What the generators' output is checked against: the parts of public interfaces that they may use, and no others."""

# JobSet v1alpha2, from the types of github.com/kubernetes-sigs/jobset, api/jobset/v1alpha2/jobset_types.go at commit
# 0336a8f (its CRD is made from them). `template` is a Job's and is checked against Kubernetes' own schema.
_NAME = {'type': 'string', 'pattern': '^[a-z]([-a-z0-9]*[a-z0-9])?$', 'maxLength': 63}
_STRINGS = {'type': 'array', 'items': {'type': 'string'}, 'uniqueItems': True}


def _object(required: tuple[str, ...] = (), **properties) -> dict:
  return {'type': 'object', 'properties': properties, 'required': list(required), 'additionalProperties': False}


_RULE = _object(
  ('name', 'action'),
  name={'type': 'string', 'pattern': '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$'},
  action={
    'enum': [
      'FailJobSet',
      'RestartJobSet',
      'RestartJobSetAndIgnoreMaxRestarts',
      'RestartJob',
      'RestartJobAndIgnoreMaxRestarts',
    ]
  },
  onJobFailureReasons={
    'type': 'array',
    'uniqueItems': True,
    'items': {
      'enum': [
        'BackoffLimitExceeded',
        'DeadlineExceeded',
        'FailedIndexes',
        'MaxFailedIndexesExceeded',
        'PodFailurePolicy',
      ]
    },
  },
  onJobFailureMessagePatterns=_STRINGS,
  targetReplicatedJobs=_STRINGS,
)

JOBSET = _object(
  ('apiVersion', 'kind', 'metadata', 'spec'),
  apiVersion={'const': 'jobset.x-k8s.io/v1alpha2'},
  kind={'const': 'JobSet'},
  metadata=_object(
    ('name',),
    name=_NAME,
    annotations={'type': 'object', 'additionalProperties': {'type': 'string'}},
  ),
  spec=_object(
    ('replicatedJobs',),
    network=_object(
      enableDNSHostnames={'type': 'boolean'}, subdomain=_NAME, publishNotReadyAddresses={'type': 'boolean'}
    ),
    failurePolicy=_object(
      maxRestarts={'type': 'integer', 'minimum': 0},
      restartStrategy={'enum': ['Recreate', 'BlockingRecreate', 'InPlaceRestart']},
      rules={'type': 'array', 'items': _RULE},
    ),
    replicatedJobs={
      'type': 'array',
      'items': _object(
        ('name', 'template'),
        name=_NAME,
        groupName={'type': 'string'},
        replicas={'type': 'integer', 'minimum': 1},
        template={'type': 'object'},
      ),
    },
  ),
)

# Options of sbatch (man page of SLURM 23.11) that the script may use, with the form of their values.
SBATCH = {
  'job-name': r'\S+',
  'partition': r'\S+',
  'account': r'\S+',
  'nodes': r'\d+(-\d+)?',
  'ntasks-per-node': r'\d+',
  'gpus-per-node': r'([a-z]\w*:)?\d+',
  'cpus-per-task': r'\d+',
  'time': r'(\d+-)?\d+(:\d+){0,2}',
  'signal': r'([RB]+:)?\w+(@\d+)?',
  'requeue': None,
  'open-mode': r'append|truncate',
  'output': r'\S+',
  'constraint': r'\S+',
}

# Flags of `gcloud compute tpus queued-resources create` (Google Cloud SDK 528, --help).
QUEUED_RESOURCES = {
  '--zone', '--project', '--node-id', '--node-count', '--node-prefix', '--accelerator-type', '--runtime-version',
  '--scopes', '--service-account', '--spot', '--metadata-from-file', '--network', '--subnetwork', '--reserved',
}  # fmt: skip

# Flags of `xpk workload create` (github.com/AI-Hypercomputer/xpk, src/xpk/parser/workload.py at commit 01b0557).
XPK = {
  '--workload',
  '--cluster',
  '--tpu-type',
  '--num-slices',
  '--docker-image',
  '--max-restarts',
  '--command',
  '--restart-on-user-code-failure',
  '--termination-grace-period-seconds',
}
