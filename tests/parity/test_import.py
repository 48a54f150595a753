"""Official files through the whole door: import-weights, `edtalk_jax.load`, images to frames, export-weights."""

import numpy as np
import pytest

import edtalk_jax
from edtalk_jax import cli
from edtalk_jax.weights import files, torch_writer
from tests.parity.golden import Case, case_files
from tests.parity.port import HEADS, PATHS
from tests.parity.test_export import DEAD
from tests.shared import parity_dir

pytestmark = pytest.mark.release

# float32 images are within 1e-3 of the official ones (their bars are tighter); a grey level is 2 / 255. Frames are
# rounded, so they are within half a level and that.
HALF_A_LEVEL = 0.5 + 127.5e-3


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp('imported')


# The smallest cases: what happens at 256 pixels is the same, and tests of the networks cover it.
@pytest.mark.parametrize(
  'file', [case_files(net)[0] for net in ('edtalk', 'lip_pose', 'lia')], ids=lambda file: file.stem
)
def test_imported_models_equal_the_official_ones(file, folder):
  case = Case(file)
  official, run = case.weights() | case.constants(), folder / case.net
  torch_writer.write(folder / f'{case.net}.pt', {'gen': official})
  cli.dispatch(['import-weights', str(folder / f'{case.net}.pt'), '--out', str(run)])
  model = edtalk_jax.load(str(run), batch_size=1)
  for path, drivers in PATHS.get(case.net, {'absolute': {'motion': 'drive_u8'}}).items():
    if case.recorded(f'{path}/'):
      _check_path(case, model, path, drivers)
  cli.dispatch(['export-weights', str(run), '--out', str(folder / f'{case.net}_out.pt')])
  _check_export(case, official, files.contents(folder / f'{case.net}_out.pt').groups['gen'])


def _check_path(case, model, path, drivers):
  motion = {}
  for bank, driver in drivers.items():
    found = case.array(driver) if not driver.endswith('_u8') else model.motion(case.array(driver))[bank]
    if driver.endswith('_u8') and bank in HEADS:
      assert case.near(f'{path}/{HEADS[bank]}.call0', found)
    motion[bank] = found
  expected = np.clip((case.output(f'{path}/image').transpose(0, 2, 3, 1) + 1) * 127.5, 0, 255)
  for row, portrait in enumerate(case.array('source_u8')):
    frame = model.generate(model.encode(portrait), {bank: values[row : row + 1] for bank, values in motion.items()})
    np.testing.assert_allclose(frame[0], expected[row], atol=HALF_A_LEVEL, rtol=0, err_msg=f'{path} {row}')


def _check_export(case, official, exported):
  assert {name: tensor.shape for name, tensor in exported.items()} == case.state_dict_shapes()
  for name, array in official.items():
    if not (name.startswith('dec.') and any(part in name for part in DEAD)):
      np.testing.assert_array_equal(np.asarray(exported[name]), array, err_msg=name)


# Ours keeps the strength of the first and last mouth, which the demos' smoothing weakens, and reflects the sound at its
# ends, as the authors' librosa does; the recorded numbers have silence there, which the windows of frames 0 to 2 see.
INNER = slice(4, -1)


def test_an_imported_model_hears_as_the_official_one(folder):
  (generator,), (audio,) = case_files('lip_pose')[:1], [parity_dir() / 'case_audio2lip.npz']
  case, heard = Case(generator), Case(audio)
  torch_writer.write(folder / 'a.pt', {'gen': case.weights()})
  torch_writer.write(folder / 'b.pt', {'audio2lip': heard.weights()})
  cli.dispatch(['import-weights', str(folder / 'a.pt'), str(folder / 'b.pt'), '--out', str(folder / 'hearing')])
  with np.load(parity_dir() / 'case_mel.npz') as sound:
    wave = sound['in/wav'].astype(np.float32) / 32768
  found = edtalk_jax.load(str(folder / 'hearing')).motion_from_audio(wave, 16_000)['mouth']
  expected = heard.output('all/lip_smoothed')
  assert found.shape == expected.shape
  error = np.linalg.norm(found[INNER] - expected[INNER]) / np.linalg.norm(expected[INNER])
  assert error < 1e-5  # the pack's bar
