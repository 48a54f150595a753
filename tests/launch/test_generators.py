"""Manifests and scripts are what schedulers accept, and do what the exit codes mean."""

import os
import re
import shlex
import subprocess

import jsonschema
import kubernetes_validate
import pytest
import yaml

from edtalk_jax import terminal
from edtalk_jax.config import UserError
from launch import job, tpu
from launch.gke import Gke
from launch.slurm import Slurm
from launch.tpu_vm import TpuVm
from tests.launch import schemas

COMMON = {'config': 'configs/mouth_pose.py', 'workdir': 'gs://b/run one', 'data': 'gs://b/records'}
TPU = {'image': 'europe-docker.pkg.dev/p/r/edtalk:1', 'topology': 'v5e:16x16', 'set': ('data.batch_size=512',)}
RESTARTED = (1, terminal.UNAVAILABLE, terminal.PREEMPTED, terminal.PEER_LOST, 134, 137, 143)


def stub(folder, name, script):
  """A program of that name, found first, that appends its arguments to `calls`."""
  path = folder / name
  path.write_text(f'#!/bin/bash\necho {name} "$@" >> {folder}/calls\n{script}\n')
  path.chmod(0o755)


def execute(folder, text, **environment):
  """Runs a script with the stubs; returns its exit code and their calls."""
  path = f'{folder}:{os.environ["PATH"]}'
  done = subprocess.run(
    ['bash'], input=text, text=True, env={**os.environ, 'PATH': path, **environment}, timeout=60, capture_output=True
  )
  calls = folder / 'calls'
  return done.returncode, calls.read_text().splitlines() if calls.exists() else []


def check_syntax(text):
  done = subprocess.run(['bash', '-n'], input=text, text=True, capture_output=True)
  assert done.returncode == 0 and not done.stderr, done.stderr


def slurm(**more):
  return Slurm(**{**COMMON, 'set': ('data.batch_size=32',), 'nodes': 4, **more}).script()


def test_slurm_directives_are_those_of_sbatch():
  text = slurm(partition='gpu', extra=('constraint=h100',))
  check_syntax(text)
  directives = re.findall(r'^#SBATCH --([^=\n]+)(?:=(.*))?$', text, re.MULTILINE)
  assert len(directives) == text.count('#SBATCH') == 12
  for name, value in directives:
    form = schemas.SBATCH[name]
    assert (form is None and not value) or re.fullmatch(form, value), (name, value)
  options = dict(directives)
  assert options['ntasks-per-node'] == options['gpus-per-node'] == '8' and options['signal'] == 'TERM@300'
  assert f'srun --cpus-per-task={options["cpus-per-task"]} ' in text  # which srun does not take over by itself
  assert text.splitlines()[1].startswith('#SBATCH')  # sbatch reads none after the first command
  assert "--workdir 'gs://b/run one'" in text


@pytest.mark.parametrize('code', [0, terminal.MISTAKE, terminal.STOPPED, *RESTARTED])
def test_slurm_requeues_what_another_start_may_mend(tmp_path, code):
  stub(tmp_path, 'srun', f'exit {code}')
  stub(tmp_path, 'scontrol', '')
  ended, calls = execute(tmp_path, slurm(), SLURM_JOB_ID='7', SLURM_RESTART_COUNT='19')
  assert ended == code
  assert (calls[1:] == ['scontrol requeue 7']) == (code in RESTARTED)


def test_slurm_gives_up_after_the_restarts_it_was_given(tmp_path):
  stub(tmp_path, 'srun', 'exit 75')
  stub(tmp_path, 'scontrol', '')
  assert len(execute(tmp_path, slurm(), SLURM_JOB_ID='7', SLURM_RESTART_COUNT='20')[1]) == 1


def test_slurm_lets_the_processes_save_before_the_script_ends(tmp_path):
  """SIGTERM reaches the batch shell too where SLURM preempts a job; it must still be there to requeue it."""
  stub(tmp_path, 'srun', 'kill -TERM $PPID; sleep 0.2; exit 75')
  stub(tmp_path, 'scontrol', '')
  assert execute(tmp_path, slurm(), SLURM_JOB_ID='7')[1][-1] == 'scontrol requeue 7'


@pytest.mark.parametrize(
  'more',
  [
    {},
    {'slices': 2, 'spot': True, 'service_account': 'trainer'},
    {'topology': 'v5p:4x4x4'},
    {'topology': '', 'gpu': 'nvidia-h100-80gb', 'nodes': 4},
  ],
)
def test_a_jobset_is_valid_and_its_job_too(more):
  manifest = yaml.safe_load(yaml.safe_dump(Gke(**COMMON, **{**TPU, **more}).manifest()))
  jsonschema.validate(manifest, schemas.JOBSET)
  (replicated,) = manifest['spec']['replicatedJobs']
  child = {'apiVersion': 'batch/v1', 'kind': 'Job', 'metadata': {'name': 'x'}, **replicated['template']}
  kubernetes_validate.validate(child, '1.31', strict=True)
  (rule,) = child['spec']['podFailurePolicy']['rules']
  assert rule['onExitCodes']['values'] == [terminal.MISTAKE, terminal.STOPPED]
  (container,) = child['spec']['template']['spec']['containers']
  assert rule['onExitCodes']['containerName'] == container['name']
  assert container['command'][:3] == ['python', 'train.py', '--distributed']
  if 'gpu' in more:
    environment = {entry['name']: entry.get('value') for entry in container['env']}
    # <set>-<replicated job>-<job>-<pod>.<subdomain>, as network.enableDNSHostnames says.
    assert environment['EDTALK_COORDINATOR'] == 'edtalk-train-0-0.edtalk:8476'
    assert environment['EDTALK_PROCESSES'] == '4'
  else:
    slice_ = tpu.parse({**TPU, **more}['topology'])
    assert child['spec']['parallelism'] * container['resources']['limits']['google.com/tpu'] == slice_.chips


def test_the_schemas_can_refuse():
  manifest = Gke(**COMMON, **TPU).manifest()
  manifest['spec']['failurePolicy']['rules'][0]['action'] = 'Restart'
  with pytest.raises(jsonschema.ValidationError):
    jsonschema.validate(manifest, schemas.JOBSET)
  job_spec = manifest['spec']['replicatedJobs'][0]['template']
  job_spec['spec']['podFailurePolicy']['rules'][0]['onExitCode'] = {}
  with pytest.raises(kubernetes_validate.ValidationError):
    kubernetes_validate.validate({'apiVersion': 'batch/v1', 'kind': 'Job', **job_spec}, '1.31', strict=True)


def test_xpk_gets_flags_that_it_knows():
  words = Gke(**COMMON, **TPU, xpk_cluster='c').xpk()
  assert {word for word in words if word.startswith('--')} <= schemas.XPK
  assert words[words.index('--tpu-type') + 1] == 'v5litepod-256'
  assert shlex.split(words[-1])[:4] == ['cd', '/edtalk', '&&', 'python']


def tpu_vm(**more):
  return TpuVm(**COMMON, **{**TPU, 'zone': 'europe-west4-b', **more})


@pytest.mark.parametrize('more', [{}, {'slices': 2, 'spot': True, 'project': 'p', 'service_account': 's'}])
def test_queued_resources_get_flags_that_gcloud_knows(more):
  launcher = tpu_vm(**more)
  check_syntax(launcher.script())
  check_syntax(launcher.startup())
  assert {word for word in launcher.create() if word.startswith('--')} <= schemas.QUEUED_RESOURCES


@pytest.mark.parametrize(('codes', 'starts'), [((0,), 1), ((2,), 1), ((75, 76, 137, 0), 4), ((75,) * 9, 3)])
def test_a_tpu_host_starts_again_until_the_end_and_then_gives_the_tpus_back(tmp_path, codes, starts):
  stub(
    tmp_path,
    'docker',
    f'[ "$1" = run ] || exit 0\ncodes=({" ".join(map(str, codes))})\n'
    f'exit ${{codes[$(grep -c "^docker run" {tmp_path}/calls) - 1]}}',
  )
  stub(tmp_path, 'gcloud', '')
  stub(tmp_path, 'curl', 'echo -n 0')
  stub(tmp_path, 'sleep', '')
  calls = execute(tmp_path, tpu_vm(max_restarts=2 if len(codes) == 9 else 5).startup())[1]
  assert sum(call.startswith('docker run') for call in calls) == starts
  assert calls[-1].startswith('gcloud compute tpus queued-resources delete edtalk')


def test_preempted_tpus_are_requested_again_until_the_request_is_gone(tmp_path):
  (tmp_path / 'states').write_text('\nACTIVE\nSUSPENDED\nACTIVE\n\n\n')
  states = f'{tmp_path}/states'
  stub(tmp_path, 'gcloud', f'[ "$4" = describe ] && {{ head -n 1 {states}; sed -i 1d {states}; }}; true')
  stub(tmp_path, 'sleep', '')
  code, calls = execute(tmp_path, tpu_vm().script())
  done = [call.split()[4] for call in calls if call.startswith('gcloud') and 'describe' not in call]
  assert code == 0 and done == ['create', 'delete', 'create']
  assert all('--metadata-from-file=startup-script=' in call for call in calls if ' create ' in call)


@pytest.mark.parametrize(
  ('launcher', 'message'),
  [
    (lambda: slurm(set=('mesh.spatial=2',)), r'data\.batch_size=8: expected a multiple of the 16 groups of 2 devices'),
    (
      lambda: slurm(set=('mesh.spatial=16',), gpus_per_node=2),
      r'mesh\.spatial=16: expected a divisor of the 8 devices',
    ),
    (lambda: slurm(set=()), r'data\.batch_size=8: expected a multiple of the 32 devices .* data\.batch_size=32'),
    (lambda: slurm(name='Ed Talk'), '--name Ed Talk: expected'),
    (lambda: slurm(config='absent.py'), '--config absent.py'),
    (lambda: Gke(**{**COMMON, 'workdir': 'runs/x'}, **TPU).manifest(), '--workdir runs/x: hosts of a cluster share no'),
    (lambda: Gke(**COMMON, **{**TPU, 'topology': 'v5e:4x4x4'}).manifest(), 'expected 2 dimensions, e.g. v5e:4x4'),
    (lambda: Gke(**COMMON, **{**TPU, 'topology': ''}).manifest(), 'give either --topology'),
    (lambda: tpu_vm(topology='tpu7x:4x4x4').create(), 'comes with GKE only'),
  ],
)
def test_mistakes_are_found_before_anything_is_rented(launcher, message):
  with pytest.raises(UserError, match=message) as caught:
    launcher()
  assert '\n' not in str(caught.value)


def test_what_is_made_is_printed_written_or_submitted(tmp_path, capsys, monkeypatch):
  printed = Slurm(**COMMON, gpus_per_node=0)
  printed.run()
  assert capsys.readouterr().out == printed.script()
  written = Slurm(**COMMON, gpus_per_node=0, out=str(tmp_path / 'job.sh'))
  written.run()
  assert (tmp_path / 'job.sh').read_text() == written.script()
  monkeypatch.setenv('PATH', str(tmp_path))
  with pytest.raises(UserError, match='--submit: sbatch is not installed here'):
    Slurm(**COMMON, gpus_per_node=0, submit=True).run()
  monkeypatch.setenv('PATH', f'{tmp_path}:/bin:/usr/bin')
  stub(tmp_path, 'sbatch', f'cat > {tmp_path}/got')
  Slurm(**COMMON, gpus_per_node=0, submit=True).run()
  assert (tmp_path / 'got').read_text() == printed.script()


def test_codes_that_end_a_job_are_those_that_another_start_cannot_mend():
  assert {*job.FINAL} == {terminal.MISTAKE, terminal.STOPPED}
