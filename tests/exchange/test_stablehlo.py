"""Exported programs: reloaded in a process without this project's networks, they compute what the model does."""

import json
import pathlib
import subprocess
import sys
import zipfile

import jax
import numpy as np
import pytest

from edtalk_jax import cli
from edtalk_jax.config import Config, PerceptualConfig, UserError
from edtalk_jax.exchange import portable, stablehlo
from edtalk_jax.model import Model
from edtalk_jax.networks.audio import AudioToMouth
from tests import tiny, untrained
from tests.networks.tiny import CONFIG, variables

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures('all_platforms')]

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope='module')
def model():
  params = dict(variables()['params'])
  shapes = jax.eval_shape(AudioToMouth(4, 0.0625).init, jax.random.key(0), np.zeros((1, 80, 16), np.float32))
  rng = np.random.default_rng(0)
  params['audio'] = jax.tree.map(lambda s: rng.uniform(0.1, 1, s.shape).astype(np.float32), shapes)
  return Model(Config(model=CONFIG, perceptual=PerceptualConfig(scales=(1.0,))), params, batch_size=2)


@pytest.fixture(scope='module')
def path(model, tmp_path_factory):
  return stablehlo.export_model(model, tmp_path_factory.mktemp('exported') / 'x.edtalk')


@pytest.fixture(scope='module')
def images():
  return np.random.default_rng(1).integers(256, size=(3, 16, 16, 3), dtype=np.uint8)


RELOAD = """
import sys
import numpy as np
from edtalk_jax.exchange import portable
loaded = portable.load(sys.argv[1])
given = np.load(sys.argv[2])
source = loaded.encode(given['images'][0])
motion = loaded.motion(given['images'])
frames = loaded.generate(source, {'mouth': motion['mouth'], 'pose': motion['pose']})
np.savez(sys.argv[3], frames=frames, heard=loaded.hear(given['windows']), own=source[2]['expression'], **motion)
assert not {'flax', 'orbax', 'edtalk_jax.model', 'edtalk_jax.networks'} & set(sys.modules), 'more than JAX and NumPy'
"""


def test_another_process_computes_the_same_without_our_networks(model, path, images, tmp_path):
  windows = np.random.default_rng(2).standard_normal((3, 80, 16)).astype(np.float32)
  np.savez(tmp_path / 'in.npz', images=images, windows=windows)
  subprocess.run(
    [sys.executable, '-c', RELOAD, str(path), str(tmp_path / 'in.npz'), str(tmp_path / 'out.npz')],
    check=True,
    cwd=ROOT,
    timeout=300,
  )
  motion, source = model.motion(images), model.encode(images[0])
  expected = model.generate(source, {'mouth': motion['mouth'], 'pose': motion['pose']})
  with np.load(tmp_path / 'out.npz') as found:
    # The same operations compiled anew: rounding of float32, and of values near the edge of a grey level.
    for name in motion:
      np.testing.assert_allclose(found[name], motion[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found['own'], source.motion['expression'], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found['frames'].astype(int), expected, atol=1)
    assert np.ptp(expected) > 50  # frames that are all alike would prove nothing
    heard = AudioToMouth(4, 0.0625).apply(model.parameters['audio'], windows)
    np.testing.assert_allclose(found['heard'], heard, rtol=1e-4, atol=1e-4)


def test_programs_hold_no_parameters_and_run_on_all_platforms(path):
  with zipfile.ZipFile(path) as archive:
    about = json.loads(archive.read('model.json'))
    programs = {
      name: jax.export.deserialize(bytearray(archive.read(name)))
      for name in archive.namelist()
      if name.endswith('.jax_export')
    }
    kernel = np.load(archive.open('parameters/model/encoder/stem/kernel.npy'))
  assert set(programs) == {f'{name}.jax_export' for name in ('encode', 'motion', 'generate', 'hear')}
  assert about['batch_size'] == 2 and about['banks'] == [['mouth', 4], ['pose', 3], ['expression', 2]]
  assert kernel.shape == (1, 1, 3, 8)
  for program in programs.values():
    assert program.platforms == ('cpu', 'cuda', 'tpu')
    assert 'stablehlo.convolution' in program.mlir_module() or 'dot_general' in program.mlir_module()
    assert any(aval.shape == (1, 1, 3, 8) for aval in program.in_avals)  # taken as an argument, not baked in


def test_the_command(tmp_path, capsys):
  run, out = untrained.save(tmp_path / 'run', tiny.config('mouth_pose'), step=7), tmp_path / 'x.edtalk'
  cli.dispatch(['export-model', run, '--out', str(out), '--platforms', 'cpu', 'tpu', '--batch', '4'])
  assert f'wrote {out}: {out.stat().st_size / 1e6:.1f} MB for cpu, tpu, 4 frames per call' in capsys.readouterr().out
  with zipfile.ZipFile(out) as archive:
    about = json.loads(archive.read('model.json'))
    program = jax.export.deserialize(bytearray(archive.read('motion.jax_export')))
  assert (about['batch_size'], about['step'], program.platforms) == (4, 7, ('cpu', 'tpu'))
  with pytest.raises(UserError, match='--batch must be at least 1, got 0'):
    cli.dispatch(['export-model', run, '--out', str(out), '--batch', '0'])


def test_other_platforms_are_one_line(model, tmp_path):
  with pytest.raises(UserError, match='--platforms rocm: expected some of cpu cuda tpu'):
    stablehlo.export_model(model, tmp_path / 'x', ['rocm'])


def test_other_files_are_one_line(tmp_path, path):
  np.savez(tmp_path / 'x.npz', a=np.zeros(3))
  with pytest.raises(ValueError, match='no portable model'):
    portable.load(tmp_path / 'x.npz')
  (tmp_path / 'cut').write_bytes(path.read_bytes()[:1000])
  with pytest.raises(ValueError, match='no portable model, or damaged'):
    portable.load(tmp_path / 'cut')
