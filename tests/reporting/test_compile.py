"""The whole way, from a configuration to reports; the TPU compiler's part where libtpu is installed."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import jax
import pytest

from edtalk_jax import chips, stages
from edtalk_jax.config import UserError
from edtalk_jax.reporting import check, prices, run, topology
from edtalk_jax.reporting import report as report_lib
from tests.faults import toy

ROOT = pathlib.Path(__file__).parents[2]
REPORTS = sorted((ROOT / 'docs' / 'reports').glob('*.json'))
PRICES = prices.Prices({'h200': 10.0, 'v5e': 1.0}, 'USD', '2026-11-21')
CONFIG = str(ROOT / 'configs' / 'tiny.py')
SMALL = ('perceptual.scales=(1.0,)', 'model.image_size=16')


@pytest.fixture
def toy_stage(monkeypatch):
  monkeypatch.setitem(stages.STAGES, 'reconstruction', toy)


@pytest.fixture(autouse=True)
def users_precision():
  """Tests run at the highest precision; users, whose program a report is of, do not."""
  with jax.default_matmul_precision(None):
    yield


def report(machine: str, *batches: int, mesh=None):
  return list(run.reports(CONFIG, SMALL, mesh, batches, topology.parse(machine), PRICES, say=lambda line: None))


def test_gpus_are_told_their_floor(toy_stage):
  one, two = report('h200:2', 8, 16)
  assert (one.devices, one.batch_size, two.batch_size) == (2, 8, 16)
  assert two.model_flops == 2 * one.model_flops and one.fits
  # Both networks' gradients: 3 x 8 + 8 x 3 + 3 x 8 + 8 numbers.
  assert one.collectives[0].size == 4 * 80
  assert min(one.largest_batch, two.largest_batch) > 16
  assert one.million_cost == pytest.approx(1e6 / one.examples_per_second / 3600 * 2 * 10)


def test_the_batch_must_divide(toy_stage):
  with pytest.raises(UserError, match='--batch-size 7 must be a multiple of the 2 devices'):
    report('h200:2', 7)


@pytest.mark.parametrize(
  ('mesh', 'line'),
  [
    ('data=2,tensor=2', "--mesh mesh.tensor=2: unknown option 'tensor'"),
    ('2', '--mesh mesh.2: expected NAME=VALUE'),
    ('data=1', 'data=2,fsdp=1'),
  ],
)
def test_a_wrong_mesh_is_one_line(mesh, line, toy_stage):
  with pytest.raises(UserError, match=line):
    report('h200:2', 8, mesh=mesh)


def test_the_digest_is_of_the_program_and_needs_no_devices(toy_stage):
  def digest(batch_size, devices=4):
    mesh = {'data': devices, 'fsdp': 1}
    return check.present_program(
      {'method': 'compiled', 'mesh': mesh, 'overrides': SMALL, 'batch_size': batch_size, 'config': CONFIG}
    )

  assert digest(8) == digest(8)
  assert len({digest(8), digest(16), digest(8, devices=8)}) == 3


def test_a_floors_program_is_found_again(toy_stage):
  content = json.loads(report_lib.to_json(report('h200:2', 8)[0]))
  assert check.present_program(content) == content['program']
  assert check.present_program({**content, 'batch_size': 16}) != content['program']


needs_libtpu = pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None, reason="libtpu is not installed: pip install -e '.[tpu-aot]'"
)
COMPILE = """
from edtalk_jax.reporting import topology
topology.prepare()
from edtalk_jax import stages
from tests.faults import toy
stages.STAGES['reconstruction'] = toy
from edtalk_jax import cli
cli.main(['compile-report', '--config', 'configs/tiny.py', '--topology', 'v5e:2x2', '--batch-size', '8',
          '--out', {out!r}, '--set', *{small!r}])
"""


@pytest.mark.release
@needs_libtpu
def test_a_tpu_program_is_compiled_and_read(toy_stage, tmp_path):
  code = COMPILE.format(out=str(tmp_path), small=SMALL)
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=600,
    env={**os.environ, 'XLA_FLAGS': ''},
  )
  assert done.returncode == 0, done.stderr
  found = json.loads((tmp_path / 'tiny_v5e_2x2_b8.json').read_text())
  assert found['fits'] and found['devices'] == 4 and found['method'] == 'compiled'
  assert 0 < found['memory']['peak'] < 2**30
  assert found['compute_seconds'] > 0 and sum(kind['cycles'] for kind in found['kinds']) > 0
  assert {one['kind'] for one in found['collectives']} == {'all-reduce'}
  assert found['compiler'] == dict(chips.BY_NAME['v5e'].compiler)
  # Described devices make the program that no devices at all make.
  assert check.present_program(found, CONFIG) == found['program']


@pytest.mark.release
@pytest.mark.parametrize('file', REPORTS, ids=lambda file: file.stem)
def test_committed_reports_fit_and_were_compiled_as_runs_are(file):
  found = json.loads(file.read_text())
  assert found['fits'], f'{file.name}: {found["topology"]} does not have the memory'
  # No part of the program, but of its speed: what a run on the chip is compiled with, unless told otherwise.
  assert found['compiler'] == dict(topology.parse(found['topology']).chip.compiler)


@pytest.mark.usefixtures('all_platforms')
@pytest.mark.release
@pytest.mark.parametrize('file', REPORTS, ids=lambda file: file.stem)
def test_committed_reports_are_of_the_present_program(file):
  """Says so where they are not, and fails nothing: docs/scaling.md has the command that makes them again."""
  found = json.loads(file.read_text())
  if found['versions']['jax'] != jax.__version__:
    pytest.skip(f'{file.name} was made with jax {found["versions"]["jax"]}, whose programs are others')
  if check.present_program(found, str(ROOT / found['config'])) != found['program']:
    pytest.xfail(f'{file.name}: report is of another program than the present one')
