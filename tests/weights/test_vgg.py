"""VGG19 files: torchvision's names from .npz, .safetensors and .pth, and one line for what is no such file."""

import json
import sys

import jax
import numpy as np
import pytest

from edtalk_jax.config import PerceptualConfig
from edtalk_jax.networks import VGG19
from edtalk_jax.weights import load_vgg19, to_official
from edtalk_jax.weights.official_names import VGG19 as INDICES


@pytest.fixture(scope='module')
def variables():
  """Full-size VGG19 with cheap values."""
  shapes = jax.eval_shape(VGG19().init, jax.random.key(0), np.zeros((1, 16, 16, 3), np.float32))
  return jax.tree.map(lambda s: np.arange(s.size, dtype=np.float32).reshape(s.shape) / s.size, shapes)


@pytest.fixture(scope='module')
def torchvision(variables):
  """The same under torchvision's names, with layers behind relu5_1 as its file has them."""
  arrays = to_official(variables, PerceptualConfig(), 'vgg19')
  names = {f'vgg.slice{part}.{index}': f'features.{index}' for part, index in INDICES.values()}
  renamed = {f'{names[name.rpartition(".")[0]]}.{name.rpartition(".")[2]}': a for name, a in arrays.items()}
  return renamed | {'features.30.weight': np.zeros((2, 2, 3, 3)), 'classifier.0.bias': np.zeros(4)}


def _write_safetensors(path, arrays):
  header, body = {'__metadata__': {'format': 'pt'}}, b''
  for name, array in arrays.items():
    data = array.astype('<f4').tobytes()
    header[name] = {'dtype': 'F32', 'shape': array.shape, 'data_offsets': [len(body), len(body) + len(data)]}
    body += data
  text = json.dumps(header).encode()
  path.write_bytes(len(text).to_bytes(8, 'little') + text + body)


def _write_torch(path, arrays):
  torch = pytest.importorskip('torch', reason='the extra [torch] is not installed')
  torch.save({name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}, path)


@pytest.mark.parametrize(
  ('suffix', 'write'),
  [('.npz', lambda path, arrays: np.savez(path, **arrays)), ('.safetensors', _write_safetensors),
   ('.pth', _write_torch)],
)  # fmt: skip
def test_torchvision_files(tmp_path, variables, torchvision, suffix, write):
  path = tmp_path / f'vgg19{suffix}'
  write(path, torchvision)
  assert jax.tree.all(jax.tree.map(np.array_equal, load_vgg19(path), variables))


def test_torch_files_without_torch_say_what_to_install(tmp_path, monkeypatch):
  path = tmp_path / 'vgg19.pth'
  path.write_bytes(b'')
  monkeypatch.setitem(sys.modules, 'torch', None)
  with pytest.raises(ValueError, match=r'vgg19.pth needs PyTorch \(pip install'):
    load_vgg19(path)


@pytest.mark.parametrize('name', ['vgg19.onnx', 'absent.npz'])
def test_other_files_are_an_error(tmp_path, name):
  with pytest.raises(ValueError, match=name):
    load_vgg19(tmp_path / name)


def test_another_network_is_an_error(tmp_path):
  np.savez(tmp_path / 'resnet.npz', **{'layer1.0.conv1.weight': np.zeros(3)})
  with pytest.raises(ValueError, match='this is no vgg19 state dict'):
    load_vgg19(tmp_path / 'resnet.npz')


@pytest.mark.parametrize('suffix', ['.npz', '.safetensors', '.pth'])
def test_damaged_files_are_an_error(tmp_path, suffix):
  if suffix == '.pth':
    pytest.importorskip('torch', reason='the extra [torch] is not installed')
  path = tmp_path / f'vgg19{suffix}'
  path.write_bytes(b'PK\x03\x04 half a file')
  with pytest.raises(ValueError, match=f'vgg19{suffix} is damaged or no {suffix} file'):
    load_vgg19(path)
