"""The words that a job runs, and how many hosts a slice of TPUs has."""

import pathlib
import subprocess
import sys

import pytest

from launch import tpu
from launch.job import Job
from launch.tpu_vm import TpuVm


def test_every_argument_reaches_the_command():
  job = Job(config='c.py', workdir='gs://b/run', data='gs://b/records', start_from='gs://b/first', set=('a=1', 'b=2'))
  assert job.command() == [
    *('python', 'train.py', '--distributed', '--config', 'c.py', '--workdir', 'gs://b/run', '--data', 'gs://b/records'),
    *('--from', 'gs://b/first', '--set', 'a=1', '--set', 'b=2'),
  ]
  assert '--from' not in Job(config='c.py', workdir='gs://b/run', data='gs://b/records').command()


@pytest.mark.parametrize(
  'topology, chips, hosts, accelerator',
  [
    ('v4:2x2x4', 16, 4, 'v4-32'),
    ('v5e:2x4', 8, 1, 'v5litepod-8'),
    ('v5e:4x4', 16, 4, 'v5litepod-16'),
    ('v5e:16x16', 256, 64, 'v5litepod-256'),
    ('v5p:2x2x1', 4, 1, 'v5p-8'),
    ('v5p:4x4x8', 128, 32, 'v5p-256'),
    ('v6e:4x8', 32, 8, 'v6e-32'),
  ],
)
def test_slices_are_those_of_google_cloud(topology, chips, hosts, accelerator):
  found = tpu.parse(topology)
  assert (found.chips, found.hosts, found.accelerator_type) == (chips, hosts, accelerator)


def test_every_slice_is_requested():
  common = {'config': 'configs/mouth_pose.py', 'workdir': 'gs://b/run', 'data': 'gs://b/records', 'image': 'i'}
  words = TpuVm(**common, topology='v5e:4x8', zone='z', slices=2, set=('data.batch_size=64',)).create()
  assert words[words.index('--node-count') + 1] == '2' and '--node-id' not in words


@pytest.mark.parametrize(
  'code, expected',
  [
    ('pass', 0),
    ('import os; exit(3 * (os.environ["EDTALK_PROCESS"] == "1"))', 3),
    ('import os, signal; os.kill(os.getpid(), signal.SIGKILL)', 128 + 9),
  ],
  ids=['well', 'badly', 'killed'],
)
def test_local_processes_end_with_the_first_bad_exit_code(code, expected):
  command = [sys.executable, '-m', 'launch.local', '--processes', '2', '--', '-c', code]
  assert subprocess.run(command, timeout=100, cwd=pathlib.Path(__file__).parents[2]).returncode == expected
