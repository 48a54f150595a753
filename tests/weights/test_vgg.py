"""VGG19 files: torchvision's names, and one line for what is no such file."""

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


def test_torchvision_files(tmp_path, variables, torchvision):
  # The file formats have their own tests.
  np.savez(tmp_path / 'vgg19.npz', **torchvision)
  assert jax.tree.all(jax.tree.map(np.array_equal, load_vgg19(tmp_path / 'vgg19.npz'), variables))


def test_an_absent_file_is_an_error(tmp_path):
  with pytest.raises(ValueError, match=r'absent\.npz: No such file'):
    load_vgg19(tmp_path / 'absent.npz')


def test_another_network_is_an_error(tmp_path):
  np.savez(tmp_path / 'resnet.npz', **{'layer1.0.conv1.weight': np.zeros(3)})
  with pytest.raises(ValueError, match='this is no vgg19 state dict'):
    load_vgg19(tmp_path / 'resnet.npz')
