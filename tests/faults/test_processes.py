"""Several processes that train as one, for real: `launch.local`, jax.distributed, Gloo, SIGKILL."""

import os
import pathlib
import re
import signal
import time

import jax
import numpy as np
import pytest

from edtalk_jax import stages
from edtalk_jax.config import MeshConfig, UserError
from edtalk_jax.training import checkpoint, cluster, metrics, programs, sharding, trees
from tests.faults import toy_train
from tests.faults.processes import Command

pytestmark = pytest.mark.release

LAUNCH = ('-m', 'launch.local', '--processes', 2, '--devices-per-process', 2, '--')
SILENCE = 5  # seconds until a process that shows no sign of life is lost
# 2 x 2 devices add up the same float32 numbers in another order than 4; measured over 20 steps: at most 4e-7.
SAME = 1e-5


def losses(workdir: pathlib.Path) -> dict[int, dict[str, float]]:
  """Metric lines of steps, by step, without what differs from run to run."""
  lines = [line for line in metrics.read_lines(workdir / metrics.FILE) if 'loss' in line]
  assert [line['step'] for line in lines] == list(range(1, len(lines) + 1))
  return {line['step']: metrics.untimed(line) for line in lines}


def state_of(workdir: pathlib.Path, step: int, devices: int, fsdp: int) -> dict[str, np.ndarray]:
  """Arrays of a checkpoint, restored onto a mesh."""
  mesh = sharding.make_mesh(MeshConfig(fsdp=fsdp), jax.devices()[:devices])
  shapes = programs.build(toy_train.get_config(), stages.build(toy_train.get_config()), mesh).shapes
  leaves, _ = jax.tree.flatten_with_path(jax.device_get(checkpoint.parts_of(checkpoint.restore(workdir, step, shapes))))
  return {trees.path_of(path): leaf for path, leaf in leaves}


def test_one_of_two_is_killed_and_the_run_goes_on_in_one(train_here, toy_command, tmp_path):
  many, one = tmp_path / 'many', tmp_path / 'one'
  with Command((*LAUNCH, *toy_command(many, 100000)), EDTALK_PEER_TIMEOUT=str(SILENCE)) as run:
    processes = re.search(r'processes ([\d ]+),', run.wait_for('launch.local: processes')).group(1).split()
    run.wait_for('step 21/')
    os.kill(int(processes[1]), signal.SIGKILL)
    killed = time.monotonic()
    assert run.end() == 128 + signal.SIGKILL, run.text()
    seconds = time.monotonic() - killed
  # Its silence, the leaving of the coordinator, and a busy machine; without the watch it would be JAX's 100 s.
  assert seconds < SILENCE + cluster.GRACE + 30
  survivor = [line for line in run.lines if line.startswith('stopped: ')]
  assert len(survivor) == 1 and 'run the same command again' in survivor[0], run.text()
  assert 'Traceback' not in run.text()

  stopped_at = max(losses(many))
  steps = stopped_at + 6
  said = train_here(many, steps, devices=4, fsdp=2)
  resumed = int(next(line for line in said if line.startswith('resuming at step')).split()[-1])
  # At most the save that was cut off is lost; how far the two came before the signal depends on the machine.
  assert resumed % 5 == 0 and stopped_at - 10 <= resumed <= stopped_at
  train_here(one, steps, devices=4)
  expected, found = losses(one), losses(many)
  assert [line['example'] for line in found.values()] == [line['example'] for line in expected.values()]
  for step in range(1, 21):
    np.testing.assert_allclose(list(found[step].values()), list(expected[step].values()), rtol=SAME, atol=SAME)

  # What two processes or one have saved is the same on every mesh, bit for bit.
  whole = state_of(many, steps, devices=1, fsdp=1)
  for devices, fsdp in ((8, 1), (8, 2), (2, 2)):
    for path, array in state_of(many, steps, devices, fsdp).items():
      np.testing.assert_array_equal(array, whole[path], err_msg=path)


def test_the_coordinator_is_killed(toy_command, tmp_path):
  with Command((*LAUNCH, *toy_command(tmp_path / 'run', 100000)), EDTALK_PEER_TIMEOUT=str(SILENCE)) as run:
    processes = re.search(r'processes ([\d ]+),', run.wait_for('launch.local: processes')).group(1).split()
    run.wait_for('step 6/')
    os.kill(int(processes[0]), signal.SIGKILL)
    killed = time.monotonic()
    assert run.end() == 128 + signal.SIGKILL, run.text()
  # JAX's own client may be first to notice, and aborts with a message that says so; either is quick.
  assert time.monotonic() - killed < SILENCE + 30
  assert '[1] stopped: ' in run.text() or 'JAX distributed service detected fatal errors' in run.text()


def test_a_mistake_that_one_process_finds_ends_all_with_its_line(toy_command, tmp_path, heads):
  """As when a host lacks the data: the other would wait for it in the first collective."""
  script = tmp_path / 'one_host_lacks_data.py'
  script.write_text(
    'import os, runpy, sys\n'
    'if os.environ["EDTALK_PROCESS"] == "1":\n'
    f'  sys.argv[sys.argv.index({str(heads)!r})] = "absent"\n'
    'sys.argv.pop(0)\n'
    'runpy.run_path(sys.argv[0], run_name="__main__")\n'
  )
  with Command((*LAUNCH, script, *toy_command(tmp_path / 'run', 100000))) as run:
    assert run.end() == 2, run.text()
  lines = [line for line in run.lines if 'error: ' in line]
  assert lines[0].startswith('[1] error: absent: no such folder') and lines[1].startswith('process 1: error: absent')
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('environment', 'message'),
  [
    ({'EDTALK_COORDINATOR': 'a:1'}, 'EDTALK_COORDINATOR set, but not EDTALK_PROCESS, EDTALK_PROCESSES'),
    (
      {'EDTALK_COORDINATOR': 'a:1', 'EDTALK_PROCESSES': '2', 'EDTALK_PROCESS': '2'},
      'EDTALK_PROCESS=2: expected 0 to 1',
    ),
    (
      {'EDTALK_COORDINATOR': 'a:1', 'EDTALK_PROCESSES': 'x', 'EDTALK_PROCESS': '0'},
      'EDTALK_PROCESSES=x: expected a num',
    ),
  ],
)
def test_half_a_cluster_is_one_clear_line(environment, message):
  with pytest.raises(UserError, match=message), cluster.joined(detect=False, environment=environment):
    pass
